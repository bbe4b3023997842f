"""The whole platform on this machine: ``python -m ray_jobs.demo``.

Brings up a local Ray, makes a small model if there is none, serves it in three stages and opens a page to talk to it.
With ``--once`` it makes a single exchange over HTTP and ends.
"""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import httpx
import ray
import soundfile

from opens2s_core.audio import AudioError, Waveform, decode_audio
from opens2s_core.checkpoint.bundle import read_bundle_info
from opens2s_core.storage import absolute_directory
from ray_jobs.cluster import end_on_signals
from ray_jobs.demo_model import make_model, read_examples
from ray_jobs.recipes import demo
from ray_jobs.serve import deploy
from serve_app.config import ServeConfig
from serve_app.notices import SYNTHETIC_NOTICE, UNTRAINED_NOTICE
from serve_app.ray_settings import prefer_ray_settings
from serve_app.ui.client import Endpoint, EndpointError, Settings
from serve_app.ui.page import build_page, launch
from serve_app.ui.timed_reply import Exchange, converse

HOST = "127.0.0.1"
_PAGE_EXAMPLES = 6
_SOUND_FILES = (".wav", ".flac", ".mp3", ".ogg")


class DemoError(Exception):
    """What a person at the command line should read instead of a traceback."""


def run_once(endpoint: str, audio: Path, out: Path | None) -> None:
    """Say one sound file to the endpoint, print the reply and its latency, write its sound."""
    try:
        sound, rate = decode_audio(audio.read_bytes())
        notice, said = asyncio.run(_exchange(Endpoint(endpoint), sound, rate))
    except (OSError, AudioError, EndpointError) as error:
        raise DemoError(f"{audio}: {error}") from error
    print(f"{notice}\n\nreply: {said.text}\n\n{said.table()}")
    if out:
        soundfile.write(out, said.samples, said.sample_rate)
        print(f"\nthe reply's sound is in {out}")


async def _exchange(endpoint: Endpoint, sound: Waveform, rate: int) -> tuple[str, Exchange]:
    """What people must be told of the voice, and what it says to ``sound``."""
    voice = await endpoint.voice()
    return voice.notice, await converse(endpoint, sound, rate, Settings())


def is_serving(endpoint: str) -> bool:
    """Whether a model of ours answers there, all stages ready."""
    try:
        models = httpx.get(f"{endpoint}/v1/models", timeout=2).json()
        return models["data"][0]["owned_by"] == "opens2s" and httpx.get(f"{endpoint}/ready", timeout=10).is_success
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return False


def free_port(wanted: int) -> int:
    """``wanted``, or another port where that one is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError:
            probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ray_jobs.demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workspace", type=Path, default=Path("runs/demo"), help="where the demo's model is kept")
    parser.add_argument("--bundle", help="directory or URL of a bundle to serve instead of the demo's own model")
    parser.add_argument("--once", action="store_true", help="make one exchange over HTTP and end")
    parser.add_argument("--audio", type=Path, help="sound file to say with --once (default: one of the examples)")
    parser.add_argument("--out", type=Path, help="sound file (wav, flac, mp3, ogg) for the reply, with --once")
    parser.add_argument("--port", type=int, default=8000, help="of the HTTP endpoint (another if it is taken)")
    parser.add_argument("--page-port", type=int, default=7860, help="of the page (another if it is taken)")
    args = parser.parse_args(argv)
    if not args.once and (args.audio or args.out):
        parser.error("--audio and --out belong to --once")
    if args.audio and not args.audio.is_file():
        parser.error(f"--audio {args.audio}: no such file")
    if args.out and (args.out.suffix not in _SOUND_FILES or not args.out.absolute().parent.is_dir()):
        parser.error(
            f"--out {args.out}: expected a name that ends in {', '.join(_SOUND_FILES)}, in a folder that exists"
        )
    return args


def run(args: argparse.Namespace) -> None:
    endpoint = f"http://{HOST}:{args.port}"
    examples = read_examples(args.workspace / "examples")
    if args.once and examples and not args.bundle and is_serving(endpoint):
        return run_once(endpoint, args.audio or next(iter(examples)), args.out)  # a demo runs already: talk to it
    dashboard = start_ray()
    bundle = args.bundle or str(make_model(args.workspace))
    examples = read_examples(args.workspace / "examples")
    config = ServeConfig(bundle=absolute_directory(bundle), host=HOST, port=free_port(args.port))
    endpoint = f"http://{HOST}:{config.port}"
    print("Deploying thinker, speech decoder and token2wav ...", flush=True)
    deploy(config)
    if args.once:
        if not args.audio and not examples:
            raise DemoError("--once with a bundle of your own needs --audio FILE")
        return run_once(endpoint, args.audio or next(iter(examples)), args.out)
    offered = dict(islice(examples.items(), _PAGE_EXAMPLES))
    page = launch(build_page(endpoint, offered), host=HOST, port=free_port(args.page_port))
    print(SYNTHETIC_NOTICE)
    if not read_bundle_info(bundle).voice_trained:
        print(UNTRAINED_NOTICE)
    places = f"\n  page       {page}\n  endpoint   {endpoint}/v1\n  dashboard  {dashboard}"
    print(f"{places} (where it asks for a token: .venv/bin/ray get-auth-token)\n\nCtrl-C ends it.", flush=True)
    signal.pause()
    return None


def start_ray() -> str:
    """A Ray of this process's own, which ends with it; returns its dashboard's address."""
    prefer_ray_settings()
    os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")  # its logs are in files and in the dashboard
    for name in ("ray.data", "ray.serve"):
        logging.getLogger(name).setLevel(logging.WARNING)
    context = ray.init(
        address="local",
        num_cpus=max(os.cpu_count() or 1, demo().workers.count),  # a single core trains too, only slower
        include_dashboard=True,
        dashboard_host=HOST,
        logging_level=logging.WARNING,
    )
    end_on_signals()
    return f"http://{context.dashboard_url}"


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    end_on_signals()
    try:
        run(args)
    except KeyboardInterrupt:
        print("\nStopping.")
        if args.once:
            sys.exit(130)  # the exchange was not made
    except DemoError as error:
        sys.exit(f"error: {error}")
    finally:
        ray.shutdown()  # Serve and its replicas end with this Ray


if __name__ == "__main__":
    main()

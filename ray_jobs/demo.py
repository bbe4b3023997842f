"""The whole platform on this machine: ``python -m ray_jobs.demo``.

Starts a local Ray, makes a small model if there is none, serves it in three stages and opens a page to talk to it. With
``--once`` it sends a single message over HTTP and ends. What the libraries write goes to ``demo.log`` in the workspace.
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

from opens2s_core.audio import AudioError, Waveform, decode_audio, encode_audio
from opens2s_core.checkpoint.bundle import read_bundle_info
from opens2s_core.storage import absolute_directory
from ray_jobs.cluster import end_on_signals, ignore_signals
from ray_jobs.demo_model import make_model, read_examples
from ray_jobs.recipes import demo
from ray_jobs.serve import deploy, stop
from ray_jobs.terminal import Terminal
from serve_app.config import Limits, ServeConfig
from serve_app.notices import SYNTHETIC_NOTICE, UNTRAINED_NOTICE
from serve_app.ray_settings import prefer_ray_settings
from serve_app.ui.client import ChatEndpoint, EndpointError, Settings
from serve_app.ui.page import build_page, launch
from serve_app.ui.timed_reply import TimedReply, timed_reply

HOST = "127.0.0.1"
PORT, PAGE_PORT = 8000, 7860
_PORTS_TO_TRY = 100
_PAGE_EXAMPLES = 6
_AUDIO_FILES = (".wav", ".flac", ".mp3", ".ogg")
_INTERRUPTED = 130  # a shell's exit status for a program that was ended by Ctrl-C


class DemoError(Exception):
    """A problem that the person at the terminal can solve; the message says how."""


def run_once(endpoint: str, audio: Path, out: Path | None, terminal: Terminal) -> None:
    """Send one audio file to the endpoint, show the reply's text and latency, write its audio."""
    try:
        samples, rate = decode_audio(audio.read_bytes(), max_seconds=Limits().max_audio_seconds)
        notice, reply = asyncio.run(_reply(ChatEndpoint(endpoint), samples, rate))
    except (OSError, AudioError, EndpointError) as error:
        raise DemoError(f"{audio}: {error}") from error
    terminal.say(f"{notice}\n\nreply: {reply.text}\n\n{reply.table()}")
    if out:
        out.write_bytes(encode_audio(reply.samples, reply.sample_rate, container=out.suffix.removeprefix(".").lower()))
        terminal.say(f"\nthe reply's audio is in {out}")


async def _reply(endpoint: ChatEndpoint, samples: Waveform, rate: int) -> tuple[str, TimedReply]:
    """The notice about the voice, and the reply to the audio."""
    voice = await endpoint.voice()
    return voice.notice, await timed_reply(endpoint, samples, rate, Settings())


def is_serving(endpoint: str) -> bool:
    """Whether a model of ours answers there, all stages ready."""
    try:
        models = httpx.get(f"{endpoint}/v1/models", timeout=2).json()
        return models["data"][0]["owned_by"] == "opens2s" and httpx.get(f"{endpoint}/ready", timeout=10).is_success
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return False


def choose_port(flag: str, given: int | None, default: int, terminal: Terminal) -> int:
    """The port that was given, or the first free one from ``default`` on; says so where that is another.

    Raises :class:`DemoError` for a given port that is not free.
    """
    if given is not None:
        if not _is_free(given):
            raise DemoError(f"{flag} {given}: another program listens at this port, or this user may not")
        return given
    port = next((port for port in range(default, default + _PORTS_TO_TRY) if _is_free(port)), None)
    if port is None:
        raise DemoError(f"no port of {default} to {default + _PORTS_TO_TRY - 1} is free: choose one with {flag}")
    if port != default:
        terminal.say(f"Port {default} is in use: {port} instead ({flag} chooses another).")
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ray_jobs.demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workspace", type=Path, default=Path("runs/demo"), help="where the demo's model is kept")
    parser.add_argument("--bundle", help="directory or URL of a bundle to serve instead of the demo's own model")
    parser.add_argument("--once", action="store_true", help="send one message over HTTP and end")
    parser.add_argument("--audio", type=Path, help="audio file to send with --once (default: one of the examples)")
    parser.add_argument("--out", type=Path, help="audio file (wav, flac, mp3, ogg) for the reply, with --once")
    parser.add_argument("--port", type=_port, help=f"of the HTTP endpoint (default: {PORT}, or the next free one)")
    parser.add_argument("--page-port", type=_port, help=f"of the page (default: {PAGE_PORT}, or the next free one)")
    args = parser.parse_args(argv)
    if not args.once and (args.audio or args.out):
        parser.error("--audio and --out belong to --once")
    if args.audio and not args.audio.is_file():
        parser.error(f"--audio {args.audio}: no such file")
    if args.out and (args.out.suffix not in _AUDIO_FILES or not args.out.absolute().parent.is_dir()):
        parser.error(
            f"--out {args.out}: expected a name that ends in {', '.join(_AUDIO_FILES)}, in a folder that exists"
        )
    return args


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 to {2**16 - 1}")
    return int(text)


def run(args: argparse.Namespace, terminal: Terminal) -> None:
    """Everything between the command line and the end of Ray."""
    endpoint = f"http://{HOST}:{args.port or PORT}"
    examples = read_examples(args.workspace / "examples")
    if args.once and examples and not args.bundle and is_serving(endpoint):
        # A demo runs already: it answers.
        return run_once(endpoint, args.audio or next(iter(examples)), args.out, terminal)
    port = choose_port("--port", args.port, PORT, terminal)
    page_port = None if args.once else choose_port("--page-port", args.page_port, PAGE_PORT, terminal)
    with terminal.step("Starting Ray"):
        dashboard = start_ray()
    bundle = args.bundle or str(make_model(args.workspace, terminal))
    examples = read_examples(args.workspace / "examples")
    config = ServeConfig(bundle=absolute_directory(bundle), host=HOST, port=port)
    endpoint = f"http://{HOST}:{port}"
    with terminal.step("Deploying thinker, speech decoder and token2wav"):
        deploy(config)
    if page_port is None:
        if not args.audio and not examples:
            raise DemoError("--once with a bundle of your own needs --audio FILE")
        return run_once(endpoint, args.audio or next(iter(examples)), args.out, terminal)
    page = build_page(ChatEndpoint(endpoint), dict(islice(examples.items(), _PAGE_EXAMPLES)))
    page_address = launch(page, host=HOST, port=page_port)
    terminal.say(SYNTHETIC_NOTICE)
    if not read_bundle_info(bundle).voice_trained:
        terminal.say(UNTRAINED_NOTICE)
    terminal.say(f"\n  page       {page_address}\n  endpoint   {endpoint}/v1")
    terminal.say(f"  dashboard  {dashboard} (where it asks for a token: .venv/bin/ray get-auth-token)")
    terminal.say(f"  log        {terminal.log}\n\nCtrl-C ends it.")
    try:
        signal.pause()
    except KeyboardInterrupt:
        terminal.say(f"\nStopping: running replies have {config.drain_seconds:g} s to end. Ctrl-C again ends them now.")
        stop(config)
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
    terminal = Terminal.take_over(args.workspace / "demo.log")
    status = 0
    try:
        run(args, terminal)
    except KeyboardInterrupt:
        terminal.say("\nStopped before the end.")
        status = _INTERRUPTED
    except DemoError as error:
        terminal.say(f"error: {error}")
        status = 1
    except Exception as error:
        terminal.fail(error)
        raise
    finally:
        ignore_signals()
        ray.shutdown()  # Serve and its replicas end with this Ray
    sys.exit(status)


if __name__ == "__main__":
    main()

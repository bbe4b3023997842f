"""Deploys a checkpoint on Ray Serve, on a running Ray or one of its own, and runs until SIGINT or SIGTERM.

python -m ray_jobs.serve --bundle DIR [--recipe small] [--host 127.0.0.1] [--port 8000]
python -m ray_jobs.serve --bundle URL --recipe gpu --print kuberay

On a signal it accepts no more requests, and ends when the replies under way have ended.
"""

import argparse
import shlex
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import ray
from ray import serve
from ray.serve.exceptions import RayServeException

from opens2s_core.checkpoint.bundle import read_bundle_info
from opens2s_core.storage import absolute_directory
from ray_jobs.cluster import connect, end_on_signals
from ray_jobs.serve_recipes import RECIPES
from serve_app.app import build_app
from serve_app.config import Access, ServeConfig
from serve_app.manifests import KUBERAY_NOTE, SERVE_NOTE, ray_service, serve_manifest, to_yaml
from serve_app.notices import SYNTHETIC_NOTICE, UNTRAINED_NOTICE
from serve_app.ray_settings import prefer_ray_settings

APP_NAME = "opens2s"
_DRAIN_LOOK_SECONDS = 0.5


def deploy(config: ServeConfig) -> None:
    """Start the application on the Ray that this process is connected to; returns when it is ready."""
    serve.start(http_options={"host": config.host, "port": config.port})
    serve.run(build_app(config), name=APP_NAME, route_prefix="/")


def stop(config: ServeConfig) -> None:
    """Delete the application, and nothing else that a Ray that was there before may serve: new requests are refused,
    and replies under way have ``drain_seconds`` to end."""
    until = time.monotonic() + config.drain_seconds
    with suppress(RayServeException):  # not deployed
        ingress = serve.get_app_handle(APP_NAME)
        while any(ingress.broadcast("drain").results()) and time.monotonic() < until:
            time.sleep(_DRAIN_LOOK_SECONDS)
    with suppress(TimeoutError):  # what has not ended by now is ended with Ray, or by Serve
        serve.delete(APP_NAME)


def main(argv: Sequence[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    try:
        config = _config(args)
        if args.print:
            print(_manifest(config, args, sys.argv[1:] if argv is None else argv), end="")
            return
        info = read_bundle_info(config.bundle)
        prefer_ray_settings()
        connect()
        _check_address(config)
    except (ValueError, OSError) as error:
        raise SystemExit(f"python -m ray_jobs.serve: {error}") from error
    end_on_signals()
    try:
        deploy(config)
        print(f"Serving {config.model} at http://{config.host}:{config.port}/v1. {SYNTHETIC_NOTICE}", flush=True)
        if not info.voice_trained:
            print(UNTRAINED_NOTICE, flush=True)
        signal.pause()
    except KeyboardInterrupt:
        print(f"Stopping; replies under way have {config.drain_seconds:g} s to end.", flush=True)
    finally:
        # A second interrupt during the cleanup would leak processes.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stop(config)
        ray.shutdown()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = ServeConfig(bundle="")
    parser.add_argument("--bundle", required=True, help="directory or URL with opens2s/ and token2wav/ in it")
    parser.add_argument("--recipe", default="small", choices=sorted(RECIPES), help="named sizes (default: small)")
    parser.add_argument("--host", default=default.host, help=f"address to listen at (default: {default.host})")
    parser.add_argument("--port", type=int, default=default.port, help=f"port to listen at (default: {default.port})")
    parser.add_argument("--keys-file", help="file with one API key per line; requests without a valid one are refused")
    parser.add_argument(
        "--cors-origin", action="append", default=[], help="origin whose pages may send requests; may be repeated"
    )
    parser.add_argument(
        "--worker-address", metavar="URL", help="address of this server as given to clients of the reference's protocol"
    )
    parser.add_argument("--print", choices=["serve", "kuberay"], help="print a file to deploy instead of deploying")
    parser.add_argument("--image", default="CHANGE", help="container image of the pods, for --print kuberay")
    return parser


def _config(args: argparse.Namespace) -> ServeConfig:
    keys_file = str(Path(args.keys_file).resolve()) if args.keys_file else None
    config = RECIPES[args.recipe](absolute_directory(args.bundle))
    return replace(
        config,
        host=args.host,
        port=args.port,
        access=Access(keys_file=keys_file, cors_origins=tuple(args.cors_origin)),
        gateway=replace(config.gateway, address=args.worker_address),
    )


def _manifest(config: ServeConfig, args: argparse.Namespace, argv: Sequence[str]) -> str:
    written_by = f"# Written by: python -m ray_jobs.serve {shlex.join(argv)}\n"
    if args.print == "serve":
        return written_by + SERVE_NOTE + to_yaml(serve_manifest(config))
    return written_by + KUBERAY_NOTE + to_yaml(ray_service(config, args.image))


def _check_address(config: ServeConfig) -> None:
    """Raise ``OSError`` where nobody can listen; Serve itself would try for ever. One that runs already does listen."""
    if serve.status().proxies:
        return
    family = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0][0]
    socket.create_server((config.host, config.port), family=family).close()


if __name__ == "__main__":
    main()

"""Deploys a checkpoint on Ray Serve, on a running Ray or one of its own, and stays until it is interrupted.

python -m ray_jobs.serve --bundle DIR [--host 127.0.0.1] [--port 8000]
"""

import argparse
import signal

import ray
from ray import serve

from opens2s_core.checkpoint import read_bundle_info
from opens2s_core.storage import absolute_directory
from ray_jobs.cluster import connect, end_on_signals
from serve_app.app import build_app
from serve_app.config import ServeConfig
from serve_app.ingress import SYNTHETIC_NOTICE, UNTRAINED_NOTICE

APP_NAME = "opens2s"


def deploy(config: ServeConfig) -> None:
    """Start the application on the Ray that this process is connected to; returns when it is ready."""
    serve.start(http_options={"host": config.host, "port": config.port})
    serve.run(build_app(config), name=APP_NAME, route_prefix="/")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True, help="directory or URL with opens2s/ and token2wav/ in it")
    parser.add_argument("--host", default=ServeConfig(bundle="").host)
    parser.add_argument("--port", type=int, default=ServeConfig(bundle="").port)
    args = parser.parse_args()

    config = ServeConfig(bundle=absolute_directory(args.bundle), host=args.host, port=args.port)
    info = read_bundle_info(config.bundle)
    connect()
    end_on_signals()
    try:
        deploy(config)
        print(f"Serving {config.model} at http://{config.host}:{config.port}/v1. {SYNTHETIC_NOTICE}", flush=True)
        if not info.voice_trained:
            print(UNTRAINED_NOTICE, flush=True)
        signal.pause()
    except KeyboardInterrupt:
        print("Stopping.")
    finally:
        # Interrupted once more, it would leave processes behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        serve.delete(APP_NAME)  # a Ray that was there before may serve others' applications too
        ray.shutdown()


if __name__ == "__main__":
    main()

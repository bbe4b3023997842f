"""Serves the page alone: ``python -m serve_app.ui --endpoint http://127.0.0.1:8000``."""

import argparse
import sys
from collections.abc import Sequence

from serve_app.ui.client import ChatEndpoint
from serve_app.ui.page import build_page, launch


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m serve_app.ui", description=__doc__)
    parser.add_argument("--endpoint", default="http://127.0.0.1:8000", help="where /v1/chat/completions is served")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="port to listen at (default: 7860)")
    arguments = parser.parse_args(argv)
    page = build_page(ChatEndpoint(arguments.endpoint))
    try:
        print(f"page: {launch(page, host=arguments.host, port=arguments.port)}", flush=True)
        page.block_thread()
    except OSError as error:
        sys.exit(f"python -m serve_app.ui: {error}")
    except KeyboardInterrupt:
        page.close()


if __name__ == "__main__":
    main()

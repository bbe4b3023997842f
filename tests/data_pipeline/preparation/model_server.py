"""A language model behind an OpenAI-compatible endpoint that continues a sentence by its last word."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from data_pipeline.steps.openai_generator import OpenAIGeneratorConfig


@dataclass(slots=True)
class ModelServer:
    """``prompts`` are those that were answered so far."""

    url: str
    prompts: list[str] = field(default_factory=list)

    @property
    def config(self) -> OpenAIGeneratorConfig:
        return OpenAIGeneratorConfig(base_url=self.url, model="m", concurrency=2)


@contextmanager
def model_server(seconds: float = 0.0) -> Iterator[ModelServer]:
    """Every answer takes so long."""
    prompts: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = request["messages"][0]["content"]
            time.sleep(seconds)
            message = {"role": "assistant", "content": f"and then {prompt.rpartition(' ')[2]}"}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            answer = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
            body = json.dumps(answer).encode()
            prompts.append(prompt)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield ModelServer(f"http://127.0.0.1:{server.server_port}/v1", prompts)
        server.shutdown()
        thread.join()

"""A language model and a server that clones voices and transcribes clips, as far as a build of dialogues asks them."""

import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from data_pipeline.synthesis.protocols import SpeechRequest
from data_pipeline.synthesis.speakers.espeak import EspeakSpeaker
from opens2s_core.audio import Waveform, decode_audio, resample
from tests.data_pipeline.chat_server import Reply
from tests.data_pipeline.synthesis.speakers.servers import form_fields

FAST = {"retry-after-ms": "10", "Retry-After": "0"}
THOUGHT = "secret deliberation"
UNLIKE = "umbrella"
"""A word that the recogniser mishears, with all words around it."""
_WORDS = (
    *("apple", "bridge", "candle", "dinner", "evening", "family", "garden", "hammer", "island", "jacket", "kitchen"),
    *("ladder", "morning", "number", "orange", "pencil", "quarter", "river", "summer", "table", "uncle", "village"),
    *("window", "yellow", "teacher", "doctor", "market", "letter", "winter", "music"),
)


def words(key: str, count: int) -> str:
    """Random words, the same for the same key."""
    return " ".join(random.Random(key).choices(_WORDS, k=count))


def write(body: dict[str, Any], tries: int) -> Reply:
    """The language model's answer by what is asked, after a failed attempt for some prompts."""
    messages = body["messages"]
    prompt = messages[-1]["content"]
    if tries == 1 and (status := {0: 429, 1: 500}.get(random.Random(prompt).randrange(6))):
        return Reply(status=status, headers=FAST)
    return Reply(text=_answer(messages[0]["role"], prompt))


def _answer(first_role: str, prompt: str) -> str:
    if found := re.match(r"Write (\d+) different things", prompt):
        unlike = f" {UNLIKE}" if "sounds afraid" in prompt else ""
        turns = [f"I saw the {words(f'{prompt} {number}', 7)}{unlike}." for number in range(int(found[1]))]
        return f"<think>{THOUGHT}</think>{json.dumps(turns)}"
    if first_role == "system":
        return f"<think>\n{THOUGHT}\n</think>\n\nThat is about the {words(prompt, 6)}."
    if "tone of voice" in prompt:
        return random.Random(prompt).choice(["Warm and calm.", "tone: cheerful", '"gentle"'])
    if "Write what the same person says next" in prompt:
        return f"And what of the {words(prompt, 6)}?"
    if prompt.startswith("Below is an instruction"):
        return _rewritten(prompt.partition("Instruction:\n")[2])
    if "请判断它是否适合语音对话" in prompt:
        return json.dumps({"suitable": True, "spoken": f"请告诉我{prompt[-6:]}", "reason": ""}, ensure_ascii=False)
    assert prompt.startswith("Translate the following"), prompt
    return "Please tell me how to grow roses."


def _rewritten(text: str) -> str:
    if "code" in text:
        return json.dumps({"suitable": False, "spoken": "", "reason": "code"})
    return "```json\n" + json.dumps({"suitable": True, "spoken": f"Well, {text}", "reason": ""}) + "\n```"


Fails = Callable[[str, str, int], int]
"""Path of a request, its text, and how often it came → the status with which it fails, or 0."""


class VoiceServer(ThreadingHTTPServer):
    """``/inference_zero_shot``, ``/inference_instruct2`` and ``/v1/audio/transcriptions``. It speaks with espeak, and
    knows the words of what it spoke."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fails: Fails = lambda *_: 0
        self.requests: list[tuple[str, dict[str, Any]]] = []  # path and fields of those that did not fail
        self.tries: Counter[tuple[str, str]] = Counter()
        self.spoken: dict[bytes, str] = {}
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def count(self, path: str) -> Counter[str]:
        """How often each text was answered."""
        return Counter(fields["tts_text"] for at, fields in self.requests if at == path)


class _Handler(BaseHTTPRequestHandler):
    server: VoiceServer

    def do_POST(self) -> None:
        server = self.server
        fields = form_fields(self.headers["Content-Type"], self.rfile.read(int(self.headers["Content-Length"])))
        text = fields["tts_text"] if "tts_text" in fields else server.spoken[_key(decode_audio(fields["file"])[0])]
        with server.lock:
            server.tries[self.path, text] += 1
            status = server.fails(self.path, text, server.tries[self.path, text])
            if not status:
                server.requests.append((self.path, fields))
        if status:
            self._send(status, b'{"error": {"message": "as the test wants"}}')
        elif "file" in fields:
            self._send(200, json.dumps({"text": words(text, 9) if UNLIKE in text else text.upper()}).encode())
        else:
            samples = speak(text, 24_000)
            pcm = np.round(samples * 32767).astype("<i2")
            server.spoken[_key(pcm / np.float32(32768))] = text
            self._send(200, pcm.tobytes())

    def _send(self, status: int, data: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(FAST if status != 200 else {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


def speak(text: str, rate: int) -> Waveform:
    speech = EspeakSpeaker().speak(SpeechRequest(text=text, voice="espeak:en-us+f2"))
    return resample(speech.samples, speech.rate, rate)


def _key(samples: Waveform) -> bytes:
    return np.round(samples * 32768).astype("<i2").tobytes()


@contextmanager
def voice_server() -> Iterator[VoiceServer]:
    with VoiceServer() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()

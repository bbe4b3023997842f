"""Valid requests and seeded mutations of them, to check that a server survives whatever clients send.

A mutation changes the structure or a value of the JSON, the base64 of an audio file in it, bytes of that file, or bytes
of the body. Most are refused; some stay valid, as a changed sample does.
"""

import base64
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from opens2s_core.audio import encode_audio
from tests.serve_app.api.audio_files import recorded, repeatable_ogg, tone

CHAT, SPEECH, REFERENCE = "/v1/chat/completions", "/v1/audio/speech", "/worker_generate_stream"
MAX_TEXT = 40_000
"""Characters of the longest string that is put into a request, and so more than any limit on text."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """A request to ``path``, the ``number``-th of its seed; ``kind`` is what was done to it."""

    path: str
    body: bytes
    kind: str
    number: int


def audio_files() -> dict[str, bytes]:
    """Short files of every kind that is read, by their format."""
    samples = tone(0.1, 16_000)
    files = {name: encode_audio(samples, 16_000, container=name) for name in ("wav", "flac", "mp3")}
    files["ogg"] = repeatable_ogg(encode_audio(samples, 16_000, container="ogg"))
    files["opus"] = recorded(0.1, "ogg", "libopus", 48_000)
    files["webm"] = recorded(0.1, "webm", "libopus", 48_000)
    files["m4a"] = recorded(0.1, "ipod", "aac", 44_100)
    files["aac"] = recorded(0.1, "adts", "aac", 16_000)
    return files


def valid_requests(model: str) -> list[tuple[str, dict[str, Any]]]:
    """Requests that a server of ``model`` answers, with the path that each is sent to. Spoken ones are few tokens
    long, so that they are quick. Most are streamed: a whole reply that has lost its limit comes late, and rightly."""
    files = {name: base64.b64encode(file).decode() for name, file in audio_files().items()}
    requests: list[tuple[str, dict[str, Any]]] = []
    for name, data in files.items():
        audio = {"type": "input_audio", "input_audio": {"data": data, "format": name}}
        messages = [{"role": "user", "content": [{"type": "text", "text": "listen"}, audio]}]
        spoken = {"modalities": ["text", "audio"], "audio": {"voice": "default", "format": "pcm16"}}
        requests.append((CHAT, {"model": model, "messages": messages, "max_tokens": 4, "stream": True, **spoken}))
        reference = [{"role": "user", "content": {"audio": data, "text": "listen"}}]
        requests.append((REFERENCE, {"model": model, "messages": reference, "max_new_tokens": 4}))
    requests.append((CHAT, _conversation(model)))
    requests.append((CHAT, _tools(model)))
    speech = {"model": model, "input": "Good morning.", "voice": "default", "response_format": "wav", "seed": 1}
    requests.append((SPEECH, speech))
    requests.append((SPEECH, speech | {"stream_format": "sse", "speed": 1, "instructions": "slowly"}))
    return requests


def _conversation(model: str) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": None, "audio": {"id": "audio_1", "data": "", "transcript": "hello you"}},
        {"role": "user", "content": [{"type": "text", "text": "go on"}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"role": "user", "content": "why"},
    ]
    sampling = {"temperature": 0.5, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.1, "presence_penalty": 0.5}
    sampling |= {"frequency_penalty": -0.5, "seed": 3, "max_completion_tokens": 4}
    options = {"stream": True, "stream_options": {"include_usage": True}, "stop": ["a"], "n": 1, "logprobs": False}
    return {"model": model, "messages": messages, "logit_bias": {"5": -1}, **sampling, **options}


def _tools(model: str) -> dict[str, Any]:
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sea"}'}}
    messages = [
        {"role": "user", "content": "look"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "found"},
    ]
    parameters = {"type": "object", "properties": {"at": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "look", "description": "at it", "parameters": parameters}}]
    return {"model": model, "messages": messages, "tools": tools, "tool_choice": "auto", "max_tokens": 4}


def mutations(model: str, *, count: int, seed: int = 0) -> Iterator[Mutation]:
    """``count`` requests, the same ones for the same seed."""
    requests = valid_requests(model)
    for number in range(count):
        rng = random.Random(f"{seed}.{number}")
        path, valid = rng.choice(requests)
        kind = rng.choice(list(_KINDS))
        body = _KINDS[kind](json.loads(json.dumps(valid)), rng)
        yield Mutation(path, body, kind, number)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container inside ``value`` with each of its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


def _replace_value(request: Any, rng: random.Random) -> bytes:
    for _ in range(rng.choice([1, 1, 3])):
        container, key = rng.choice(list(_places(request)))
        container[key] = rng.choice(_VALUES)(rng)
    return _json(request)


def _change_structure(request: Any, rng: random.Random) -> bytes:
    for _ in range(rng.choice([1, 1, 3])):
        container, key = rng.choice(list(_places(request)))
        match rng.randrange(5):
            case 0:
                del container[key]
            case 1:
                container[key] = [container[key]] * rng.choice([0, 1, 2, 200])
            case 2:
                container[key] = {"value": container[key]}
            case 3 if isinstance(container, dict):
                container[rng.choice([*_FIELDS, f"{key}_", str(key).upper()])] = container.pop(key)
            case _ if isinstance(container, list):
                rng.shuffle(container)
            case _:
                container[rng.choice(_FIELDS)] = rng.choice(_VALUES)(rng)
        if not list(_places(request)):
            break
    return _json(request)


def _change_base64(request: Any, rng: random.Random) -> bytes:
    """Of an audio file, or of another text where there is none."""
    container, key = _audio_place(request, rng)
    text = str(container[key])
    position = rng.randrange(len(text) + 1)
    match rng.randrange(6):
        case 0:
            changed = text[:position]
        case 1:
            changed = text[:position] + rng.choice(["?", "=", "\n", "é", "\0", "%20", ","]) + text[position:]
        case 2:
            changed = "data:audio/wav;base64," + text
        case 3:
            changed = text.rstrip("=").translate(str.maketrans("+/", "-_"))
        case 4:
            changed = text * rng.choice([2, 50])
        case _:
            changed = text[position:] + text[:position]
    container[key] = changed
    return _json(request)


def _change_audio(request: Any, rng: random.Random) -> bytes:
    """Bytes of an audio file, mostly of its headers."""
    container, key = _audio_place(request, rng)
    try:
        file = bytearray(base64.b64decode(container[key], validate=True))
    except ValueError:
        file = bytearray(str(container[key]).encode())
    for _ in range(rng.choice([1, 2, 8])):
        position = rng.randrange(min(len(file), rng.choice([64, 512, len(file)])) or 1) if file else 0
        match rng.randrange(5):
            case 0:
                del file[position : position + rng.randrange(1, 9)]
            case 1:
                file[position:position] = rng.randbytes(rng.randrange(1, 9))
            case 2:
                file[position : position + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"])
            case 3:
                del file[position:]
            case _:
                file[position : position + 1] = rng.randbytes(1)
    container[key] = base64.b64encode(file).decode()
    return _json(request)


def _change_body(request: Any, rng: random.Random) -> bytes:
    body = bytearray(_json(request))
    position = rng.randrange(len(body))
    match rng.randrange(7):
        case 0:
            del body[position:]
        case 1:
            body[position : position + 1] = rng.randbytes(1)
        case 2:
            body[position:position] = rng.choice([b"\0", b"\xff\xfe", b'"', b"}", b"[" * 5_000, b'{"a":' * 5_000])
        case 3:
            body[:0] = rng.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"  \n"])
        case 4:
            return body.decode().encode("utf-16")
        case 5:
            return b""
        case _:
            body += rng.choice([b"\0", b"{}", bytes(body)])
    return bytes(body)


def _audio_place(request: Any, rng: random.Random) -> tuple[Any, Any]:
    texts = [(container, key) for container, key in _places(request) if isinstance(container[key], str)]
    audio = [(container, key) for container, key in texts if key in ("data", "audio") and container[key]]
    return rng.choice(audio or texts)


def _json(request: Any) -> bytes:
    return json.dumps(request).encode()


_FIELDS = ["messages", "content", "audio", "role", "type", "tools", "functions", "n", "stream", "voice", "stop", "seed"]
_VALUES: list[Callable[[random.Random], Any]] = [
    lambda rng: None,
    lambda rng: rng.choice([True, False]),
    lambda rng: rng.choice([0, -1, 1, 2**31, -(2**63), 10**400, rng.randrange(100)]),
    lambda rng: rng.choice([0.0, -0.5, 1e308, float("nan"), float("inf"), rng.random()]),
    lambda rng: rng.choice(["", " ", "\0", "\u200b", "😀", "\ud800", "a" * MAX_TEXT, "<|im_end|>", "🙂‍↔️" * 99]),
    lambda rng: rng.choice([[], [None], [[]], [{}] * 300, {}, {"type": "text"}, {"id": "audio_1"}]),
    lambda rng: rng.choice(["user", "assistant", "tool", "system", "function", "input_audio", "text", "none", "auto"]),
]
_KINDS: dict[str, Callable[[Any, random.Random], bytes]] = {
    "value": _replace_value,
    "structure": _change_structure,
    "base64": _change_base64,
    "audio": _change_audio,
    "body": _change_body,
}

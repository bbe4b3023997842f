"""Parsers under mutated requests: each is accepted or refused, quickly."""

import json
import time
from collections import Counter
from collections.abc import Callable

from serve_app.api.chat_request import chat_reply_request, parse_chat
from serve_app.api.context import ApiContext
from serve_app.api.reference_worker import parse_reference, reference_reply_request
from serve_app.api.speech import parse_speech, speech_reply_requests
from serve_app.config import Limits
from tests.serve_app.api.mutations import CHAT, REFERENCE, SPEECH, mutations, valid_requests
from tests.serve_app.fake_reply import status_by

MODEL = "opens2s"
CONTEXT = ApiContext(model=MODEL, limits=Limits(max_audio_seconds=5.0), units_per_token=3.5)
SECONDS = 2.0
"""The longest that one request may take on a busy machine; usual are a few milliseconds."""

PARSERS: dict[str, Callable[[bytes], object]] = {
    CHAT: lambda body: chat_reply_request(parse_chat(body, CONTEXT), CONTEXT),
    SPEECH: lambda body: speech_reply_requests(parse_speech(body, CONTEXT), CONTEXT),
    REFERENCE: lambda body: reference_reply_request(parse_reference(body, CONTEXT), CONTEXT),
}


def test_the_requests_are_valid_before_they_are_mutated() -> None:
    for path, request in valid_requests(MODEL):
        PARSERS[path](json.dumps(request).encode())


def test_mutations_are_the_same_for_the_same_seed() -> None:
    assert list(mutations(MODEL, count=20, seed=1)) == list(mutations(MODEL, count=20, seed=1))
    assert list(mutations(MODEL, count=20, seed=1)) != list(mutations(MODEL, count=20, seed=2))


def test_mutated_requests_are_accepted_or_refused() -> None:
    statuses: Counter[int] = Counter()
    for mutation in mutations(MODEL, count=500):
        started = time.thread_time()
        status = status_by(PARSERS[mutation.path], mutation.body)
        assert time.thread_time() - started < SECONDS, mutation.number
        statuses[status] += 1
    assert statuses.keys() == {200, 400, 404}
    assert min(statuses[200], statuses[400]) > 50

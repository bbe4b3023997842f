"""Mutated requests against the real server: each is answered, soon, and none by an error of ours."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.e2e.replicas import wait_until
from tests.serve_app.api.mutations import Mutation, mutations

pytestmark = pytest.mark.ray

COUNT, SEED, AT_ONCE = 500, 15, 4
SECONDS = 10.0


def test_mutated_requests_are_answered(served: str) -> None:
    def ask(mutation: Mutation) -> str | None:
        """What is wrong with the answer."""
        began = time.monotonic()
        headers = {"content-type": "application/json"}
        url = f"{served}{mutation.path}"
        with httpx.stream("POST", url, content=mutation.body, headers=headers, timeout=30) as got:
            for _ in got.iter_raw():
                if time.monotonic() - began > SECONDS / 2:
                    break  # it was accepted, and is a long reply
        what = f"{mutation.kind} {mutation.number}: {got.status_code}"
        if got.status_code >= 500 and not (got.status_code == 503 and "retry-after" in got.headers):
            return what
        return None if time.monotonic() - began < SECONDS else f"{what} after {time.monotonic() - began:.1f} s"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        wrong = [answer for answer in pool.map(ask, mutations("opens2s", count=COUNT, seed=SEED)) if answer]
    assert wrong == []
    wait_until("readiness", lambda: httpx.get(f"{served}/ready", timeout=30).is_success)

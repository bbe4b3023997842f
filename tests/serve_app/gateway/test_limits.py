"""Limits that follow from what is served."""

from dataclasses import replace

import pytest

from serve_app.config import Limits, ServeConfig, StageConfig
from serve_app.gateway.limits import fitting_limits
from tests.serve_app.gateway.served import INFO

LARGE = Limits(max_audio_seconds=10_000.0, max_text_chars=10**9, max_tokens=10**6)


def config(limits: Limits, context: int = 1000) -> ServeConfig:
    return ServeConfig(bundle="unused", limits=limits, stages={"thinker": StageConfig(context=context)})


@pytest.mark.parametrize(("stage", "checkpoint"), [(1000, None), (1000, 5000), (5000, 1000)])
def test_no_more_is_accepted_than_fits_the_context(stage: int, checkpoint: int | None) -> None:
    info = replace(INFO, context=checkpoint, audio_positions=12.5)
    limits = fitting_limits(config(LARGE, stage), info)
    assert (limits.max_tokens, limits.max_audio_seconds) == (1000, 80.0)
    assert limits.max_text_chars == 16_000


def test_smaller_limits_stay() -> None:
    small = Limits(max_audio_seconds=2.0, max_text_chars=10, max_tokens=5)
    assert fitting_limits(config(small), replace(INFO, context=1000, audio_positions=12.5)) == small


def test_what_does_not_depend_on_the_context_stays() -> None:
    limits = fitting_limits(config(LARGE), INFO)
    assert limits.max_audio_seconds == LARGE.max_audio_seconds, "it is not known how many positions audio takes"
    assert (limits.max_body_bytes, limits.max_messages) == (LARGE.max_body_bytes, LARGE.max_messages)

import pytest

from data_pipeline.synthesis.dialogues import DialogueConfig
from data_pipeline.synthesis.flite import SLT
from data_pipeline.synthesis.voices import REPLY_VOICE
from ray_jobs import demo_model


@pytest.mark.parametrize(("found", "voice"), [("/usr/bin/flite", SLT), (None, REPLY_VOICE)])
def test_replies_are_spoken_in_the_clearest_voice_there_is(
    monkeypatch: pytest.MonkeyPatch, found: str | None, voice: object
) -> None:
    monkeypatch.setattr(demo_model, "find_flite", lambda: found)
    assert demo_model.in_the_clearest_voice(DialogueConfig(turns=3)).reply_voice == voice

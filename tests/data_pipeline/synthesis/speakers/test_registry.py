import pytest

from data_pipeline.synthesis.protocols import SpeechRequest
from data_pipeline.synthesis.speakers.cosyvoice import CosyVoiceSpeaker
from data_pipeline.synthesis.speakers.embedded import EmbeddedSpeaker
from data_pipeline.synthesis.speakers.openai_speech import OpenAISpeaker
from data_pipeline.synthesis.speakers.registry import open_speaker
from tests.data_pipeline.synthesis.speakers.servers import SpeechServer


def test_each_kind_of_speaker_is_opened_by_its_text() -> None:
    assert isinstance(open_speaker("embedded"), EmbeddedSpeaker)
    two, three = open_speaker("cosyvoice2:http://host:50000"), open_speaker("cosyvoice3:http://host:50000")
    assert isinstance(two, CosyVoiceSpeaker)
    assert isinstance(three, CosyVoiceSpeaker)
    assert (two.name, three.name) == ("CosyVoice 2", "CosyVoice 3")


def test_the_address_and_the_model_are_those_of_the_text(server: SpeechServer) -> None:
    speaker = open_speaker(f"openai:{server.url}/v1#tts-1")
    assert isinstance(speaker, OpenAISpeaker)
    speaker.speak(SpeechRequest(text="Hello.", voice="alloy"))
    ((_, sent),) = server.requests
    assert sent["model"] == speaker.name == "tts-1"


@pytest.mark.parametrize(
    "spec",
    ["", "festival", "embedded:x", "cosyvoice2:", "cosyvoice3:host", "cosyvoice:http://x", "openai:http://x/v1"],
)
def test_any_other_text_is_an_error_that_lists_them(spec: str) -> None:
    with pytest.raises(ValueError, match=f"unknown speaker '{spec}': expected embedded, cosyvoice2:URL"):
        open_speaker(spec)

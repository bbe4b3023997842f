"""A speaker from the short text by which a command line names it."""

from data_pipeline.service_names import is_http_url, openai_service
from data_pipeline.synthesis.protocols import Speaker


def open_speaker(spec: str) -> Speaker:
    """``embedded``, ``cosyvoice2:URL``, ``cosyvoice3:URL`` or ``openai:URL#MODEL``. ValueError for any other text.

    Each imports its own dependencies alone.
    """
    kind, _, address = spec.partition(":")
    url, _, model = address.partition("#")
    if kind == "embedded" and not address:
        from data_pipeline.synthesis.speakers.embedded import EmbeddedSpeaker

        return EmbeddedSpeaker()
    if kind in ("cosyvoice2", "cosyvoice3") and is_http_url(url) and not model:
        from data_pipeline.synthesis.speakers.cosyvoice import CosyVoiceConfig, CosyVoiceSpeaker

        return CosyVoiceSpeaker(CosyVoiceConfig(url=url, version=2 if kind == "cosyvoice2" else 3))
    if service := openai_service(spec):
        from data_pipeline.synthesis.speakers.openai_speech import OpenAISpeaker, OpenAISpeakerConfig

        return OpenAISpeaker(OpenAISpeakerConfig(base_url=service[0], model=service[1]))
    raise ValueError(f"unknown speaker {spec!r}: expected embedded, cosyvoice2:URL, cosyvoice3:URL or openai:URL#MODEL")

"""The voices of flite, a program of its own (Debian package ``flite``). ``slt`` is the clearest of them."""

import functools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.protocols import Speech, SpeechRequest
from data_pipeline.synthesis.speakers.effects import change_pitch, finish
from data_pipeline.synthesis.speakers.prosody import draw
from data_pipeline.synthesis.speakers.voice import EmbeddedVoice, VoiceError, check_request_text
from opens2s_core.audio import decode_audio

FLITE_VOICES = {
    voice.name: voice
    for voice in (
        EmbeddedVoice(name="flite:slt", gender="female", age="adult"),
        EmbeddedVoice(name="flite:awb", gender="male", age="adult"),
        EmbeddedVoice(name="flite:rms", gender="male", age="adult"),
        EmbeddedVoice(name="flite:kal16", gender="male", age="adult"),
    )
}


class FliteMissing(RuntimeError):
    """flite is not installed on this machine."""


def find_flite() -> str | None:
    """The program's path, or None where it is not installed."""
    return shutil.which("flite")


def require_flite() -> str:
    """The program's path. Raises :class:`FliteMissing`, which says how to install it."""
    if (program := find_flite()) is None:
        raise FliteMissing(f"the voices {', '.join(FLITE_VOICES)} need the program flite: apt-get install flite")
    return program


@functools.cache
def _version(program: str) -> str:
    output = subprocess.run([program, "--version"], capture_output=True, check=False, text=True).stdout
    found = re.search(r"flite-\S+", output)
    return found.group() if found else "flite"


class FliteSpeaker:
    """A :class:`~data_pipeline.synthesis.protocols.Speaker` of :data:`FLITE_VOICES` at 16 kHz.

    Rate is flite's own setting; pitch, pauses and loudness are changed in the clip. The same request gives the same
    samples.
    """

    @property
    def name(self) -> str:
        """As flite names itself. Raises :class:`FliteMissing`."""
        return _version(require_flite())

    def speak(self, request: SpeechRequest) -> Speech:
        """Raises :class:`VoiceError` for an unknown voice, :class:`FliteMissing`, and :class:`RejectedRow` for a text
        that is not in English words."""
        # flite itself takes its first voice for an unknown one without an error.
        if (voice := FLITE_VOICES.get(request.voice)) is None:
            raise VoiceError(f"unknown voice {request.voice!r}: expected one of {', '.join(FLITE_VOICES)}")
        check_request_text(request.text, request.language, voice)
        if not request.text.isascii():
            raise RejectedRow(f"nothing to speak: flite expects ASCII text, got {request.text!r}")
        prosody = draw(request.emotion, request.tone, request.seed)
        command = [require_flite(), "-voice", voice.name.partition(":")[2]]
        command += ["--setf", f"duration_stretch={1 / prosody.rate:.4f}", "-o"]
        with tempfile.TemporaryDirectory() as directory:
            output = Path(directory, "speech.wav")  # flite seeks back to write the header: a pipe does not work
            # The text goes through the input, where neither a shell nor flite takes it for options.
            text = " ".join(request.text.split()).encode()
            subprocess.run([*command, output], input=text, capture_output=True, check=True)
            samples, rate = decode_audio(output.read_bytes())
        samples = change_pitch(samples, rate, prosody.pitch, prosody.pitch_range)
        return Speech(finish(samples, rate, prosody), rate)

"""Dialogues to read and to listen to, as one HTML file."""

import base64
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from data_pipeline.html_page import page_environment
from opens2s_core.audio import decode_audio, encode_audio

_MEDIA_TYPES = {b"ID3": "audio/mpeg", b"\xff\xfb": "audio/mpeg", b"\xff\xf3": "audio/mpeg", b"OggS": "audio/ogg"}
"""Of files that are small already, by their first bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleMessage:
    """A message, its clip as an audio file (or no bytes), and what is shown beside it.

    ``labels`` have names such as ``emotion`` or ``tone``; ``measures`` are those of
    :class:`~data_pipeline.synthesis.quality.measures.Measures`. Empty strings and None are not shown.
    """

    role: str
    text: str
    audio: bytes = b""
    labels: Mapping[str, str]
    measures: Mapping[str, float | str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleDialogue:
    """``cell`` is the heading under which it is shown, such as ``sad, female`` or ``tool call``."""

    id: str
    cell: str
    messages: tuple[SampleMessage, ...]


def choose_samples(cells: Iterable[tuple[str, str]], per_cell: int, seed: int) -> list[str]:
    """Ids of up to ``per_cell`` dialogues of each cell, from pairs of id and cell. It depends on the set of pairs and
    the seed, not on the order."""
    ids = defaultdict(list)
    for name, cell in cells:
        ids[cell].append(name)
    return [name for cell in sorted(ids) for name in sorted(ids[cell], key=lambda name: _rank(name, seed))[:per_cell]]


def render_samples(title: str, dialogues: Sequence[SampleDialogue]) -> str:
    """The page: cells in alphabetical order, dialogues in theirs. It needs no other file and no network, runs no
    script, and shows text as text. FLAC and WAV become MP3, which is less than half the size.

    Raises :class:`~opens2s_core.audio.AudioError` for a clip that cannot be decoded.
    """
    cells = defaultdict(list)
    for dialogue in dialogues:
        cells[dialogue.cell].append(dialogue)
    environment = page_environment("data_pipeline")
    environment.filters.update(audio_url=_audio_url, shown=_shown)
    return environment.get_template("dialogue_samples.html").render(title=title, cells=sorted(cells.items()))


def _rank(name: str, seed: int) -> bytes:
    return blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()


def _shown(values: Mapping[str, float | str | None]) -> list[tuple[str, str]]:
    """Names and values of what is known."""
    return [
        (name.replace("_", " "), f"{value:.2f}" if isinstance(value, float) else str(value))
        for name, value in values.items()
        if value not in (None, "")
    ]


def _audio_url(audio: bytes) -> str:
    media_type = next((kind for start, kind in _MEDIA_TYPES.items() if audio.startswith(start)), None)
    if media_type is None:
        samples, rate = decode_audio(audio)
        audio, media_type = encode_audio(samples, rate, container="mp3"), "audio/mpeg"
    return f"data:{media_type};base64,{base64.b64encode(audio).decode()}"

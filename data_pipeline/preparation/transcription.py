"""Whether a model that is trained on data sets is trained to transcribe."""

from collections.abc import Iterable

from data_pipeline.dataset.layout import DatasetError
from data_pipeline.dataset.reader import read_manifest


def transcription_prompt(data: Iterable[str]) -> str | None:
    """The text before the clips whose transcripts are the replies, in the data sets at the URLs ``data``; None where
    none has such samples. Raises :class:`DatasetError` for data sets with different texts."""
    found = {prompt: url for url in data if (prompt := _prompt_of(url))}
    if len(found) > 1:
        (one, first), (other, second), *_ = found.items()
        raise DatasetError(
            f"{first} has the transcription prompt {one!r} and {second} has {other!r}: expected the same"
        )
    return next(iter(found), None)


def _prompt_of(url: str) -> str:
    """Data sets of other versions, or that were not prepared from a corpus, do not name one."""
    settings = read_manifest(url).get("made_from", {}).get("config", {}).get("tokenise", {})
    return str(settings.get("transcription_prompt", ""))

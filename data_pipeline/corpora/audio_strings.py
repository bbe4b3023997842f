"""How manifests write a clip as one string."""

import re

from data_pipeline.corpora.fields import is_encodable
from data_pipeline.corpora.files import path_below_root
from data_pipeline.records import AudioReference, RejectedRow

EXPECTED = "path, path:start_frame:num_frames, archive.zip:offset:size or archive.zip:member"

_MAX_DIGITS = 18  # what 64 bits hold
_SLICE = re.compile(r"(?P<path>.+?):(?P<first>\d+):(?P<count>-1|\d+)")
_MEMBER = re.compile(r"(?P<path>.+?\.zip):(?P<member>.+)", re.IGNORECASE)
_EXTENSION = re.compile(r"\.[A-Za-z]\w*$")


def parse_audio(text: str) -> AudioReference:
    """The clip that a manifest names, in the forms that fairseq and BLSP write.

    - ``path``: a whole file.
    - ``path:start_frame:num_frames``: a segment, in samples of the file; ``num_frames`` -1 means to the end.
    - ``archive.zip:offset:size``: the bytes of a member that is stored uncompressed.
    - ``archive.zip:member``: a member by its name.

    Paths are relative to the root of the manifest. Raises :class:`RejectedRow` for any other form and for paths that
    lead out of the root.
    """
    if not is_encodable(text):
        raise RejectedRow(f"bad encoding: {text!r:.100}, expected Unicode text")
    if sliced := _SLICE.fullmatch(text):
        if max(len(sliced["first"]), len(sliced["count"])) > _MAX_DIGITS:
            raise RejectedRow(f"bad audio string: {text!r:.100}, expected numbers of at most {_MAX_DIGITS} digits")
        first, count = int(sliced["first"]), int(sliced["count"])
        path = _confined(sliced["path"])
        if path.lower().endswith(".zip"):
            if count < 1:
                raise RejectedRow(f"bad audio string: {text!r} has no bytes, expected a size of at least 1")
            return AudioReference(path=path, offset=first, size=count)
        if count == 0:
            raise RejectedRow(f"bad audio string: {text!r} has no samples, expected at least 1 or -1")
        return AudioReference(path=path, start=first, length=None if count == -1 else count, in_samples=True)
    if member := _MEMBER.fullmatch(text):
        return AudioReference(path=_confined(member["path"]), member=member["member"])
    path = _confined(text)
    name = path.rpartition("/")[2]
    if name.lower().endswith(".zip") or (":" in name and not _EXTENSION.search(name)):
        raise RejectedRow(f"bad audio string: {text!r}, expected {EXPECTED}")
    return AudioReference(path=path)


def _confined(path: str) -> str:
    if not path.strip():
        raise RejectedRow(f"no audio: the string is empty, expected {EXPECTED}")
    try:
        return path_below_root(path)
    except ValueError as error:
        raise RejectedRow(f"path outside the corpus: {error}") from None

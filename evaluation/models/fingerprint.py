"""What tells the weights of one model from those of another, without reading all of them."""

import hashlib
from pathlib import Path

from opens2s_core.checkpoint.bundle import opens2s_directory
from opens2s_core.storage import fetch_directory

_BLOCK, _STRIDE = 1 << 10, 1 << 20


def weights_fingerprint(model: str) -> str:
    """16 hexadecimal digits, of the names, sizes and contents of all files of ``model``, a path or URL. Of a larger
    file than a MiB only the first KiB of each MiB is read, so that 20 GB take seconds.

    Raises :class:`~opens2s_core.checkpoint.errors.CheckpointError` where there is no OpenS2S model.
    """
    opens2s_directory(model)
    root = fetch_directory(model)
    digest = hashlib.sha256()
    for path in sorted(file for file in root.rglob("*") if file.is_file()):
        name = path.relative_to(root)
        if name.parts[0].startswith(".") or name.name == "export.json":  # how it was made, not what it is
            continue
        digest.update(f"{name} {path.stat().st_size}\n".encode())
        digest.update(_sampled(path))
    return digest.hexdigest()[:16]


def _sampled(path: Path) -> bytes:
    """The first KiB of each MiB and the last KiB; all of a file of at most a MiB."""
    size = path.stat().st_size
    if size <= _STRIDE:
        return hashlib.sha256(path.read_bytes()).digest()
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        for start in (*range(0, size - _BLOCK, _STRIDE), size - _BLOCK):
            file.seek(start)
            digest.update(file.read(_BLOCK))
    return digest.digest()

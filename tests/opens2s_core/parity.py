"""Golden numbers of the published models, and how closely ours must agree with them."""

import json
import os
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor


class Golden:
    """One directory of golden data: the repository's own, or one of the same layout under ``OPENS2S_PARITY``."""

    def __init__(self, name: str) -> None:
        self.path = Path(os.environ.get("OPENS2S_PARITY", Path(__file__).parents[1] / "golden")) / name

    def tensors(self, name: str = "golden") -> dict[str, Tensor]:
        return load_file(self.path / f"{name}.safetensors")

    def values(self, name: str) -> dict[str, Any]:
        return json.loads((self.path / f"{name}.json").read_text())


def close(name: str, actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Same shape, and nowhere further apart than ``tolerance``; prints the largest error."""
    assert actual.shape == expected.shape
    error = max((actual.double() - expected.double()).abs().flatten().tolist(), default=0.0)
    print(f"{name}: largest error {error:.2e}")
    assert error <= tolerance, name

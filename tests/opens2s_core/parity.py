"""Golden numbers of the published models, and how closely ours must agree with them."""

import json
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

_OWN = Path(__file__).parents[1] / "golden"
_NUMBER = r"(\d+(?:\.\d+)?(?:e-\d+)?)"

LARGEST_ERRORS: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
"""Of every tensor group compared so far: largest error, and the tolerance it was held against."""


def golden_root() -> Path:
    """The repository's own golden data, or data of the same layout under ``OPENS2S_PARITY``."""
    return Path(os.environ.get("OPENS2S_PARITY", _OWN))


class Golden:
    """One directory of golden data. Where ``OPENS2S_PARITY`` names a place without it, its tests are skipped."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = golden_root() / name
        if "OPENS2S_PARITY" in os.environ and not self.path.is_dir():
            pytest.skip(f"{self.path} is not there", allow_module_level=True)

    def tensors(self, name: str = "golden") -> dict[str, Tensor]:
        return load_file(self.path / f"{name}.safetensors")

    def values(self, name: str) -> Any:
        return json.loads((self.path / f"{name}.json").read_text())

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.path / f"{name}.jsonl").read_text().splitlines()]

    def tolerance(self, quantity: str, otherwise: float) -> float:
        """What the directory's README allows for ``quantity`` (a word of it), or ``otherwise`` if it says nothing."""
        sentences = re.findall(r"tolerances?\b[^\n]*(?:\n[^\n*#|]+)*", (self.path / "README.md").read_text(), re.I)
        for sentence in sentences:
            pairs = [
                (label, number) for number, label in re.findall(rf"{_NUMBER}[ \w]*? (?:for|on) ([^,;.(]+)", sentence)
            ]
            pairs = pairs or re.findall(rf"([a-z][a-z/ ]*?) {_NUMBER}", sentence)
            for label, number in pairs:
                if quantity in re.split(r"\W+", label):
                    return float(number)
        return otherwise


def close(name: str, actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Same shape, and nowhere further apart than ``tolerance``. The largest errors are listed when all tests ran."""
    assert actual.shape == expected.shape, name
    error = float((actual.double() - expected.double()).abs().max()) if expected.numel() else 0.0  # keeps NaN
    note(name, error, tolerance)
    assert error <= tolerance, f"{name}: largest error {error:.2e}, allowed {tolerance:.0e}"


def close_relative(name: str, actual: float, expected: float, tolerance: float, floor: float = 0.0) -> None:
    """As :func:`close` for a number, relative to ``expected`` (or to ``floor``, where that is smaller)."""
    error = abs(actual - expected) / max(abs(expected), floor, 1e-30)
    note(name, error, tolerance)
    assert error <= tolerance, (
        f"{name}: {actual} is not {expected}: relative error {error:.2e}, allowed {tolerance:.0e}"
    )


def rounding(expected: Any, share: float = 5e-3) -> float:
    """How far two computations of one signal may differ that sum in another order: a share of its peak, since rounding
    grows with the sizes of the model. Other noise or another neighbour differ by about the peak itself."""
    return share * float(abs(expected).max()) if expected.shape[0] else share


def note(name: str, error: float, tolerance: float) -> None:
    group = re.sub(r"(?<=[._])\d+", "*", name)
    LARGEST_ERRORS[group] = max(LARGEST_ERRORS[group], (error, tolerance))

"""What is known of the published models at full size."""

import json
from pathlib import Path
from typing import Any

from tests.opens2s_core.parity import golden_root

_OWN = Path(__file__).parents[2] / "golden"


def full_scale(name: str) -> Any:
    """Of the golden directory in use, or our own where that holds small models only."""
    path = golden_root() / f"{name}.json"
    return json.loads((path if path.exists() else _OWN / path.name).read_text())

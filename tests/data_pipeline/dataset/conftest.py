import uuid
from pathlib import Path

import pytest


@pytest.fixture(params=["disk", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "disk":
        return str(tmp_path / "dataset")
    request.getfixturevalue("s3")
    return f"s3://bucket/{uuid.uuid4().hex}"

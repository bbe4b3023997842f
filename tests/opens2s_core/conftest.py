"""Golden data of a test module, named by its ``GOLDEN``; with ``-s``, the largest error of every tensor group is
printed."""

from collections.abc import Iterator
from typing import Any

import pytest
from torch import Tensor

from tests.opens2s_core.parity import LARGEST_ERRORS, golden_root


@pytest.fixture(scope="session", autouse=True)
def largest_errors() -> Iterator[None]:
    yield
    if LARGEST_ERRORS:
        print(f"\nlargest error of each group of golden tensors in {golden_root()}")
        for group, (error, tolerance) in sorted(LARGEST_ERRORS.items()):
            print(f"  {group:48} {error:9.2e}  of {tolerance:.0e}")


@pytest.fixture(scope="module")
def golden(request: pytest.FixtureRequest) -> dict[str, Tensor]:
    return request.module.GOLDEN.tensors()


@pytest.fixture(scope="module")
def meta(request: pytest.FixtureRequest) -> Any:
    return request.module.GOLDEN.values("meta")

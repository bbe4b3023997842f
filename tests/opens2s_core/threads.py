"""A fixture for whole packages and for single modules: whoever imports it uses it."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """What these models compute is too small to share: threads would wait for one another, on a busy machine long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

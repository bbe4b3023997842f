"""A function over many items in Ray tasks."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import ray

T = TypeVar("T")
R = TypeVar("R")


def map_in_tasks(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """``function`` of each item, in order. Each item is a task of one CPU."""
    sent = ray.put(function)
    return ray.get([_call.remote(sent, item) for item in items])


@ray.remote
def _call(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)

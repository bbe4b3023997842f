"""Serves replies with one engine: streams join, receive input and leave in random order, and their output is
recorded."""

import pickle
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from opens2s_core.inference.engine import Engine, EngineFull, StreamFailed, StreamId
from opens2s_core.inference.messages import Finish, HiddenStates, ReplyRequest, StageMessage, TextDelta, Units
from opens2s_core.inference.records import Record

_MULTIPLY = {"linear": functional, "scaled_dot_product_attention": functional, "bmm": torch, "baddbmm": torch}
"""Matrix multiplications of a language model, and their modules."""


@dataclass(frozen=True, slots=True)
class ReplyInput:
    """A request and the input messages from the previous stage."""

    request: ReplyRequest
    groups: tuple[HiddenStates, ...] = ()


@dataclass(slots=True)
class ReplyResult:
    """The output of a reply."""

    messages: list[StageMessage] = field(default_factory=list)
    ids: tuple[int, ...] = ()
    failure: str | None = None
    cancelled: bool = False

    @property
    def text(self) -> str:
        return "".join(message.text for message in self.messages if isinstance(message, TextDelta))

    @property
    def groups(self) -> list[HiddenStates]:
        return [message for message in self.messages if isinstance(message, HiddenStates)]

    @property
    def hidden_states(self) -> NDArray[np.float32]:
        """(n, D); of none, (0,)."""
        return np.concatenate([group.values for group in self.groups] or [np.zeros(0, np.float32)])

    @property
    def units(self) -> list[int]:
        return [int(unit) for message in self.messages if isinstance(message, Units) for unit in message.ids]

    @property
    def ended(self) -> bool:
        last = self.messages[-1] if self.messages else None
        return isinstance(last, Finish) or (isinstance(last, Units) and last.final) or self.failure is not None

    def collect(self, engine: Engine, stream: StreamId) -> None:
        try:
            self.messages += engine.chunks(stream)
            self.ids = engine.record(stream).ids  # type: ignore[union-attr]
        except StreamFailed as error:
            self.failure = str(error)


@dataclass(slots=True)
class _OpenReply:
    stream: StreamId
    groups: deque[HiddenStates]
    made: ReplyResult


def serve(
    engine: Engine, asked: Sequence[ReplyInput], chance: Random | None = None, *, cancel: float = 0.0
) -> list[ReplyResult]:
    """The output of each reply. Without ``chance`` all are opened at the start, up to the capacity."""
    waiting = deque((ReplyResult(), one) for one in asked)
    all_made = [made for made, _ in waiting]
    open_replies: list[_OpenReply] = []
    while waiting or open_replies:
        while waiting and (chance is None or chance.random() < 0.5):
            made, one = waiting[0]
            try:
                open_replies.append(_OpenReply(engine.open(one.request), deque(one.groups), made))
            except EngineFull:
                assert len(open_replies) == engine.capacity
                break
            waiting.popleft()
        for reply in open_replies:
            while reply.groups and (chance is None or chance.random() < 0.4):
                engine.push(reply.stream, reply.groups.popleft())
        engine.step()
        for reply in list(open_replies):
            if chance is not None and chance.random() < cancel:
                reply.made.cancelled = True
            else:
                reply.made.collect(engine, reply.stream)
            if reply.made.ended or reply.made.cancelled:
                engine.close(reply.stream)
                open_replies.remove(reply)
    return all_made


def alone(engine: Engine, one: ReplyInput) -> ReplyResult:
    [made] = serve(engine, [one])
    return made


def resume(engine: Engine, one: ReplyInput, record: Record) -> ReplyResult:
    """The rest of a reply, from a new engine with the record."""
    stream = engine.open(one.request, pickle.loads(pickle.dumps(record)))
    made = ReplyResult()
    for group in one.groups:
        engine.push(stream, group)
    while not made.ended:
        engine.step()
        made.collect(engine, stream)
    engine.close(stream)
    return made


def same_shapes(engine: Engine, asked: Sequence[ReplyInput], chance: Random | None = None) -> bool:
    """Whether matrices have the same shapes with other streams as alone.

    If so, rounding is the same on any machine; otherwise only ids are comparable, and only at high precision.
    """
    shapes: set[tuple[str | torch.Size, ...]] = set()
    with pytest.MonkeyPatch.context() as patched:
        for name, module in _MULTIPLY.items():
            compute = getattr(module, name)

            def spy(*inputs: Tensor, _name=name, _compute=compute, **options: object) -> Tensor:
                shapes.add((_name, *(x.shape for x in inputs if isinstance(x, Tensor))))
                return _compute(*inputs, **options)

            patched.setattr(module, name, spy)
        for one in asked:
            alone(engine, one)
        by_themselves = set(shapes)
        serve(engine, asked, chance)
    assert {name for name, *_ in by_themselves} == set(_MULTIPLY)  # else it multiplies with what is not watched
    return shapes == by_themselves

"""What the gateway and a stage send each other about one reply. A reply's state lives inside the call: any replica can
take any request.

gateway → stage: one ``StageRequest``, then the ``StageMessage``s that the stage is fed
stage → gateway: ``Accepted``, ``StageOutput``s with ``Heartbeat``s between, ``EndOfStream``; or at any time ``Failure``

A ``Probe`` in place of the request is answered by one ``Accepted`` or ``Failure``.

The gateway closes the connection. Until it does, a stage that has ended drops what it is still sent: if it closed the
connection itself, a message on the way to it would break that, and what the gateway has not read yet would be lost.
"""

from dataclasses import dataclass
from typing import Literal

from opens2s_core.inference.messages import ReplyRequest, StageMessage
from opens2s_core.inference.records import Record


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRequest:
    """One attempt at a stage's part of a reply, or at the rest of it that ``record`` describes. Its audio has
    ``sample_rate`` Hz and ``units_per_second`` speech units in a second."""

    id: str
    request: ReplyRequest
    sample_rate: int
    units_per_second: float
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """Asks whether the stage could work on a request; takes no slot."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The stage has given the request a slot, or could work on one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageOutput:
    """What a stage made, and how to resume after it."""

    messages: tuple[StageMessage, ...]
    record: Record


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The stage's process runs; its engine last ended a step ``stalled`` seconds ago."""

    stalled: float


@dataclass(frozen=True, slots=True)
class EndOfStream:
    """The stage's part of the reply is complete."""


FailureKind = Literal["refused", "context_length_exceeded", "busy", "reply_failed", "stage_failed", "stage_lost"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Ends the stage's part of the reply with an error; ``message`` is the reason."""

    kind: FailureKind
    message: str

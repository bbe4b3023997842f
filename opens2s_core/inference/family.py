"""Families of models: which stages make a reply, in which order, and which messages travel between them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from opens2s_core.inference.messages import AudioChunk, Finish, Hiddens, StageMessage, Units
from opens2s_core.inference.records import AudioRecord, Record, TextRecord, UnitsRecord

Records = Mapping[str, Record]
"""How to resume a reply: the resume record of each stage, by its name; a stage without output has none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSpec:
    """One stage. ``takes`` is the kind of message that it is fed, which an earlier stage makes; None: it needs the
    request alone. ``text_ends`` and ``speech_ends`` are the kinds whose final message ends what it makes, of any reply
    and of spoken ones. A stage without ``text_ends`` takes part in spoken replies only. A ``language_model`` is served
    with :class:`LMSettings`."""

    name: str
    language_model: bool
    takes: type[StageMessage] | None = None
    text_ends: tuple[type[StageMessage], ...] = ()
    speech_ends: tuple[type[StageMessage], ...] = ()

    def ends(self, *, speak: bool) -> frozenset[type[StageMessage]]:
        """The kinds of messages whose final one ends this stage's work on a reply; none where it takes no part."""
        return frozenset((*self.text_ends, *(self.speech_ends if speak else ())))


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """``stages`` in the order in which a reply passes through them. ``resume`` turns the records of a reply into those
    that new engines are opened with, so that they resume where the client's output ends."""

    name: str
    stages: tuple[StageSpec, ...]
    resume: Callable[[Records], Records]

    def taking_part(self, *, speak: bool) -> tuple[StageSpec, ...]:
        """The stages that a reply needs."""
        return tuple(stage for stage in self.stages if stage.ends(speak=speak))

    def consumer(self, message: StageMessage) -> StageSpec | None:
        """The stage that is fed this message; None: it is for the client."""
        return next((stage for stage in self.stages if stage.takes is type(message)), None)

    def client_ends(self, *, speak: bool) -> frozenset[type[StageMessage]]:
        """The kinds of messages whose final one ends a reply for its client."""
        fed = {stage.takes for stage in self.stages}
        return frozenset(kind for stage in self.stages for kind in stage.ends(speak=speak) if kind not in fed)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(stage.name for stage in self.stages)


def is_final(message: StageMessage) -> bool:
    """Whether no message of this kind follows in its reply."""
    return isinstance(message, Finish) or (isinstance(message, Hiddens | Units | AudioChunk) and message.final)


def _resume_opens2s(records: Records) -> Records:
    """A new speech decoder reads all hidden states again; token2wav is fed only units after those it received."""
    resumed = dict(records)
    text, units, audio = (records.get(name) for name in OPENS2S.names)
    if isinstance(text, TextRecord):
        resumed["thinker"] = replace(text, groups=0)
    if isinstance(units, UnitsRecord):
        resumed["speech_decoder"] = replace(units, units=audio.received if isinstance(audio, AudioRecord) else 0)
    return resumed


OPENS2S = Family(
    name="opens2s",
    stages=(
        StageSpec(name="thinker", language_model=True, text_ends=(Finish,), speech_ends=(Hiddens,)),
        StageSpec(name="speech_decoder", language_model=True, takes=Hiddens, speech_ends=(Units,)),
        StageSpec(name="token2wav", language_model=False, takes=Units, speech_ends=(AudioChunk,)),
    ),
    resume=_resume_opens2s,
)

FAMILIES: Mapping[str, Family] = {family.name: family for family in (OPENS2S,)}

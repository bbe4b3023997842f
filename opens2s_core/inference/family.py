"""Model families: the stages that generate a reply, their order, and the types of the messages between them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from opens2s_core.inference.messages import AudioChunk, Finish, HiddenStates, StageMessage, Units
from opens2s_core.inference.records import AudioRecord, Record, TextRecord, UnitsRecord

Records = Mapping[str, Record]
"""The resume record of each stage of a reply, by the stage's name; a stage without output has none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSpec:
    """One stage. ``input_type`` is the type of its input messages, which an earlier stage emits; None: its only input
    is the request. The stage ends when the final message of each of its end types is emitted: ``text_end_types`` for
    every reply, ``speech_end_types`` for spoken ones in addition. A stage without ``text_end_types`` is used for spoken
    replies only. A ``language_model`` is served with :class:`LMSettings`."""

    name: str
    language_model: bool
    input_type: type[StageMessage] | None = None
    text_end_types: tuple[type[StageMessage], ...] = ()
    speech_end_types: tuple[type[StageMessage], ...] = ()

    def end_types(self, *, speak: bool) -> frozenset[type[StageMessage]]:
        """The message types whose final messages end this stage of a reply; empty if the reply does not use it."""
        return frozenset((*self.text_end_types, *(self.speech_end_types if speak else ())))


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """``stages`` in pipeline order. ``resume`` converts the records of a reply to those that new engines are opened
    with, so that they continue after the last output of the client."""

    name: str
    stages: tuple[StageSpec, ...]
    resume: Callable[[Records], Records]

    def stages_for(self, *, speak: bool) -> tuple[StageSpec, ...]:
        """The stages that a reply uses."""
        return tuple(stage for stage in self.stages if stage.end_types(speak=speak))

    def consumer(self, message: StageMessage) -> StageSpec | None:
        """The stage that takes this message as input; None: it is for the client."""
        return next((stage for stage in self.stages if stage.input_type is type(message)), None)

    def client_end_types(self, *, speak: bool) -> frozenset[type[StageMessage]]:
        """The message types whose final messages end a reply for its client."""
        inputs = {stage.input_type for stage in self.stages}
        return frozenset(kind for stage in self.stages for kind in stage.end_types(speak=speak) if kind not in inputs)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(stage.name for stage in self.stages)


def is_final(message: StageMessage) -> bool:
    """Whether it is the last message of its type in the reply."""
    return isinstance(message, Finish) or (isinstance(message, HiddenStates | Units | AudioChunk) and message.final)


def _resume_opens2s(records: Records) -> Records:
    """A new speech decoder reads all hidden states again; token2wav gets only the units after those it received."""
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
        StageSpec(name="thinker", language_model=True, text_end_types=(Finish,), speech_end_types=(HiddenStates,)),
        StageSpec(name="speech_decoder", language_model=True, input_type=HiddenStates, speech_end_types=(Units,)),
        StageSpec(name="token2wav", language_model=False, input_type=Units, speech_end_types=(AudioChunk,)),
    ),
    resume=_resume_opens2s,
)

FAMILIES: Mapping[str, Family] = {family.name: family for family in (OPENS2S,)}

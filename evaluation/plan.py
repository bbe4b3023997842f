"""What an evaluation would take, before it starts."""

from dataclasses import dataclass

from evaluation.items import Answer, Item, Reply
from evaluation.run import EvaluationConfig, questions_of, sampled, suite_of
from opens2s_core.audio import decode_audio

_REPLY = " ".join(["something"] * 150)
"""Judges are asked about replies of this length until there are any: 150 words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationPlan:
    """``judging`` describes the tokens, and where prices are known the cost, of judging replies of 150 words."""

    items: int
    turns: int
    audio_hours: float  # of the users
    judging: str

    def __str__(self) -> str:
        lines = [f"{self.items:,} items, {self.turns:,} replies", f"{self.audio_hours:.2f} h of the users' audio"]
        return "\n".join([*lines, self.judging or "no judge is needed"])


def plan_evaluation(config: EvaluationConfig) -> EvaluationPlan:
    """Neither loads a model nor asks a judge. Raises ``ValueError`` for a suite or data that cannot be used."""
    from evaluation.judges.costs import TokenCounter, estimate

    suite = suite_of(config.suite, config.options)
    items = sampled(suite.items(config.data), config.limit, config.seed)
    questions = questions_of(suite, items, {item.id: _assumed(item, spoken=suite.spoken) for item in items})
    return EvaluationPlan(
        items=len(items),
        turns=sum(len(item.turns) for item in items),
        audio_hours=sum(_seconds(turn.audio) for item in items for turn in item.turns if turn.audio) / 3600,
        judging=str(estimate(questions, counter=TokenCounter(), prices=config.prices)) if questions else "",
    )


def _assumed(item: Item, *, spoken: bool) -> Answer:
    reply = Reply(text=_REPLY, transcript=_REPLY if spoken else None)
    return Answer(item=item.id, replies=(reply,) * len(item.turns))


def _seconds(audio: bytes) -> float:
    samples, rate = decode_audio(audio)
    return len(samples) / rate

"""Comparison of two models: a judge sees both answers to an item, once in each order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from evaluation.items import Answer, Item, Reply
from evaluation.judges.intervals import Interval, item_interval
from evaluation.scores import Judgement, Question

CRITERION = (
    "Prefer the replies that respond better to what the user means and feels: that are correct and helpful, that show "
    "understanding of the user's emotion and situation, and that sound natural when spoken."
)
_INSTRUCTIONS = """\
You are an impartial judge of two voice assistants, A and B, that had the same conversation with a user. {criterion}
Do not let the order of the assistants or the length of their replies influence you. Explain your verdict in two \
sentences. Then end with one line that has only [[A]] if assistant A is better, [[B]] if assistant B is better, or \
[[C]] if they are equally good."""
Outcome = Literal["win", "tie", "loss"]
_IN_ORDER, _SWAPPED = "pair-in-order:", "pair-swapped:"


@dataclass(frozen=True, kw_only=True, slots=True)
class PairwiseConfig:
    """``judged``: the texts of replies, or the recogniser's transcripts of their audio."""

    criterion: str = CRITERION
    judged: Literal["text", "transcript"] = "text"
    samples: int = 1
    temperature: float = 0.0
    top_p: float | None = None
    max_tokens: int = 1024


def pair_questions(
    items: Sequence[Item], first: Sequence[Answer], second: Sequence[Answer], config: PairwiseConfig
) -> list[Question]:
    """Two for each item to which both runs have an answer without error: in order, then swapped.

    Raises ``ValueError`` for a reply without a transcript where transcripts are judged.
    """
    answers = [{answer.item: answer for answer in run if not answer.error} for run in (first, second)]
    questions = []
    for item in items:
        if any(item.id not in run for run in answers):
            continue
        conversations = [_conversation(item, run[item.id], config) for run in answers]
        for name, shown in ((_IN_ORDER, conversations), (_SWAPPED, conversations[::-1])):
            content = "\n\n".join(
                f"# Conversation with assistant {side}\n\n{conversation}"
                for side, conversation in zip("AB", shown, strict=True)
            )
            question = Question(
                id=f"{name}{item.id}",
                item=item.id,
                messages=(
                    {"role": "system", "content": _INSTRUCTIONS.format(criterion=config.criterion)},
                    {"role": "user", "content": content},
                ),
                scale="pair",
                samples=config.samples,
                temperature=config.temperature,
                top_p=config.top_p,
                max_tokens=config.max_tokens,
            )
            questions.append(question)
    return questions


def _conversation(item: Item, answer: Answer, config: PairwiseConfig) -> str:
    parts = [f"System: {item.system}"] if item.system else []
    for turn, reply in zip(item.turns, answer.replies, strict=True):
        parts += [f"User: {turn.text}", f"Assistant: {_reply_text(item, reply, config)}"]
    return "\n\n".join(parts)


def _reply_text(item: Item, reply: Reply, config: PairwiseConfig) -> str:
    text = reply.text if config.judged == "text" else reply.transcript
    if text is None:
        raise ValueError(f"item {item.id!r}: a reply has no transcript, expected replies that were transcribed")
    return text or "(no reply)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The first run against the second. Shares are of ``items``, those with verdicts in both orders; ``unjudged`` have
    none. The first run wins an item where it is preferred in both orders, and loses it where the second is; all others
    are ties (Zheng et al. 2023, section 3.4). A verdict is the mean over samples.

    ``position_bias`` is the share of items where the answer in the same position is preferred in both orders, and
    ``prefers_first`` that where it is the one in the first position."""

    items: int
    unjudged: int
    wins: Interval
    ties: Interval
    losses: Interval
    position_bias: Interval
    prefers_first: Interval
    outcomes: Mapping[str, Outcome]  # by item


def compare_pairs(questions: Sequence[Question], judgements: Sequence[Judgement], *, seed: int = 0) -> Comparison:
    """``questions`` are those of :func:`pair_questions`; judgements without a value are left out."""
    answered: dict[str, list[float]] = {}
    for judgement in judgements:
        if judgement.value is not None:
            answered.setdefault(judgement.question, []).append(judgement.value)
    wanted = dict.fromkeys(question.item for question in questions)
    items = [item for item in wanted if all(f"{name}{item}" in answered for name in (_IN_ORDER, _SWAPPED))]
    # The sign is that of the position that is preferred, 0 for none.
    in_order, swapped = (
        np.array([np.sign(np.mean(answered[f"{name}{item}"]) - 0.5) for item in items])
        for name in (_IN_ORDER, _SWAPPED)
    )
    wins, losses = (in_order > 0) & (swapped < 0), (in_order < 0) & (swapped > 0)
    first_position, second_position = (in_order > 0) & (swapped > 0), (in_order < 0) & (swapped < 0)
    shares = {
        "wins": wins,
        "ties": ~wins & ~losses,
        "losses": losses,
        "position_bias": first_position | second_position,
        "prefers_first": first_position,
    }
    intervals = {
        name: item_interval(items, lambda rows, share=share: float(np.mean(share[rows])), seed=seed)  # type: ignore[misc]
        for name, share in shares.items()
    }
    outcomes: dict[str, Outcome] = {
        item: "win" if won else "loss" if lost else "tie" for item, won, lost in zip(items, wins, losses, strict=True)
    }
    return Comparison(items=len(items), unjudged=len(wanted) - len(items), outcomes=outcomes, **intervals)

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evaluation.items import Answer, Item, Reply, Turn
from evaluation.judges.asking import collect_judgements
from evaluation.judges.intervals import item_interval
from evaluation.judges.pairwise import PairwiseConfig, compare_pairs, pair_questions
from evaluation.scores import Judgement, Question
from tests.data_pipeline import chat_server
from tests.evaluation.judges.fake_judge import judge

ITEMS = [Item(id=f"i{number}", turns=(Turn(text="Hello?"),)) for number in range(6)]


def answers(*texts: str) -> list[Answer]:
    return [Answer(item=item.id, replies=(Reply(text=text),)) for item, text in zip(ITEMS, texts, strict=False)]


def asked(count: int = 6, **settings: Any) -> list[Question]:
    return pair_questions(ITEMS[:count], answers(*"abcdef"), answers(*"uvwxyz"), PairwiseConfig(**settings))


def judgements(questions: Sequence[Question], *values: float | None) -> list[Judgement]:
    """Of the first sample, in the order of the questions."""
    pairs = zip(questions, values, strict=True)
    return [Judgement(question=question.id, sample=0, judge="j", value=value) for question, value in pairs]


def test_each_pair_is_asked_in_both_orders() -> None:
    item = Item(id="i", system="Be brief.", turns=(Turn(text="I lost it.", audio=b"x"), Turn(text="My ring.")))
    first = Answer(item="i", replies=(Reply(text="Oh no."), Reply(text="A pity.")))
    second = Answer(item="i", replies=(Reply(text="What?"), Reply(text="")))
    config = PairwiseConfig(criterion="Prefer kindness.", samples=3, temperature=0.5, top_p=0.9, max_tokens=200)
    one, other = pair_questions([item], [first], [second], config)
    assert one.messages[1]["content"] == (
        "# Conversation with assistant A\n\nSystem: Be brief.\n\nUser: I lost it.\n\nAssistant: Oh no.\n\n"
        "User: My ring.\n\nAssistant: A pity.\n\n"
        "# Conversation with assistant B\n\nSystem: Be brief.\n\nUser: I lost it.\n\nAssistant: What?\n\n"
        "User: My ring.\n\nAssistant: (no reply)"
    )
    swapped = pair_questions([item], [second], [first], config)
    assert other.messages == swapped[0].messages != one.messages == swapped[1].messages
    assert one.id != other.id
    for question in (one, other):
        assert "Prefer kindness." in question.messages[0]["content"]
        assert (question.item, question.scale, question.samples) == ("i", "pair", 3)
        assert (question.temperature, question.top_p, question.max_tokens) == (0.5, 0.9, 200)


def test_items_that_a_run_did_not_answer_are_not_asked() -> None:
    second = [*answers("u", "v"), Answer(item="i2", error="timed out")]
    found = pair_questions(ITEMS, answers(*"abc"), second, PairwiseConfig())
    assert [question.item for question in found] == ["i0", "i0", "i1", "i1"]


def test_transcripts_are_judged_where_requested() -> None:
    spoken = [Answer(item="i0", replies=(Reply(text="written", transcript="spoken"),))]
    questions = pair_questions(ITEMS, spoken, spoken, PairwiseConfig(judged="transcript"))
    assert "spoken" in str(questions[0].messages)
    assert "written" not in str(questions[0].messages)
    with pytest.raises(ValueError, match="item 'i0': a reply has no transcript, expected replies that were"):
        pair_questions(ITEMS, spoken, answers("u"), PairwiseConfig(judged="transcript"))


def test_a_win_needs_both_orders() -> None:
    #             win      loss      both for A  both for B  tie of both  win and tie
    verdicts = (1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.5, 0.5, 1.0, 0.5)
    questions = asked()
    found = compare_pairs(questions, judgements(questions, *verdicts))
    assert (found.items, found.unjudged) == (6, 0)
    assert list(found.outcomes.values()) == ["win", "loss", "tie", "tie", "tie", "tie"]
    shares = [found.wins, found.ties, found.losses, found.position_bias, found.prefers_first]
    assert [share.value for share in shares] == pytest.approx([1 / 6, 4 / 6, 1 / 6, 2 / 6, 1 / 6])


def test_a_verdict_is_the_mean_over_samples() -> None:
    questions = asked(1, samples=3)
    values = {0: (1.0, 1.0, 0.0), 1: (0.0, 0.5, 0.0)}
    rows = [
        Judgement(question=questions[order].id, sample=sample, judge="j", value=value)
        for order, drawn in values.items()
        for sample, value in enumerate(drawn)
    ]
    assert compare_pairs(questions, rows).outcomes == {"i0": "win"}


def test_a_pair_without_a_verdict_in_one_order_is_not_counted() -> None:
    questions = asked(2)
    found = compare_pairs(questions, judgements(questions, 1.0, 0.0, 1.0, None))
    assert (found.items, found.unjudged, found.outcomes, found.wins.value) == (1, 1, {"i0": "win"}, 1)
    none = compare_pairs(questions, [])
    assert (none.items, none.unjudged, none.wins.value) == (0, 2, None)


def test_the_interval_of_a_share_is_that_of_its_binomial_distribution() -> None:
    items = [str(number) for number in range(200)]
    share = item_interval(items, lambda rows: float((rows < 60).mean()))
    half = 1.96 * (0.3 * 0.7 / 200) ** 0.5
    assert share.value == 0.3
    assert (share.low, share.high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.01)


def test_rows_of_an_item_are_drawn_together() -> None:
    items = [str(number) for number in range(50)]
    alone = item_interval(items, lambda rows: float((rows < 25).mean()))
    repeated = item_interval(items * 8, lambda rows: float((rows % 50 < 25).mean()))
    assert repeated == alone


def test_a_judge_that_prefers_a_position_is_found_out(tmp_path: Path) -> None:
    with chat_server.chat_server(lambda *_: chat_server.Reply(text="Both are kind.\n[[A]]")) as server:
        found = collect_judgements(judge(server), asked(), tmp_path / "judgements.jsonl")
    comparison = compare_pairs(asked(), found)
    assert (comparison.position_bias.value, comparison.prefers_first.value, comparison.ties.value) == (1, 1, 1)


def test_a_judge_that_reads_the_replies_finds_the_better_run(tmp_path: Path) -> None:
    def respond(body: dict[str, Any], _: int) -> chat_server.Reply:
        side_a, side_b = body["messages"][-1]["content"].split("assistant B")
        good = ["good" in side for side in (side_a, side_b)]
        return chat_server.Reply(text="[[C]]" if good[0] == good[1] else "[[A]]" if good[0] else "[[B]]")

    texts = ("good", "good", "bad", "good"), ("bad", "bad", "good", "good")
    questions = pair_questions(ITEMS, answers(*texts[0]), answers(*texts[1]), PairwiseConfig())
    with chat_server.chat_server(respond) as server:
        found = compare_pairs(questions, collect_judgements(judge(server), questions, tmp_path / "judgements.jsonl"))
    assert list(found.outcomes.values()) == ["win", "win", "loss", "tie"]
    assert found.position_bias.value == 0

import pytest

from data_pipeline.corpora.rows import bad_row, split_rounds, with_unique_ids
from data_pipeline.records import AudioReference, Reject, Utterance


def utterance(id: str, text: str = "") -> Utterance:
    return Utterance(id=id, corpus="c", split="s", language="en", audio=AudioReference(path="a.wav"), text=text)


def test_the_first_of_two_entries_with_one_id_stays() -> None:
    first, second, other = utterance("a", "first"), utterance("a", "second"), bad_row("a", "kind: detail")
    kept, reject, third = with_unique_ids(lambda: [first, other, second])()
    assert (kept, reject) == (first, other)
    assert isinstance(third, Reject)
    assert third.reason == "duplicate id: a is earlier in the same part"


def test_rounds_are_ordered() -> None:
    assert split_rounds(["10", "9", "0", *"12345678"], str) == ([str(number) for number in range(11)], [])
    assert split_rounds(["2", "1"], str) == (["1", "2"], [])


@pytest.mark.parametrize(
    ("rounds", "kept", "faults"),
    [
        (["1", "3", "4"], ["1"], ["missing round: found 3, expected 2", "missing round: found 4, expected 2"]),
        (["2", "3"], [], ["missing round: found 2, expected the first to be 0 or 1"] * 1 +
         ["missing round: found 3, expected the first to be 0 or 1"]),
        (["1", "1", "2"], ["1", "2"], ["duplicate round: 1"]),
        (["one", "1"], ["1"], ["bad round: 'one', expected a whole number"]),
    ],
)  # fmt: skip
def test_rounds_after_a_fault_are_left_out(rounds: list[str], kept: list[str], faults: list[str]) -> None:
    found, left_out = split_rounds(rounds, str)
    assert found == kept
    assert [reason for _, reason in left_out] == faults
    assert len(found) + len(left_out) == len(rounds)


def test_a_round_with_thousands_of_digits_is_a_fault() -> None:
    kept, ((_, reason),) = split_rounds(["1", "9" * 5000], str)
    assert kept == ["1"]
    assert reason.startswith("bad round: '999")


def test_what_is_not_utf8_is_escaped_in_a_rejected_row() -> None:
    assert bad_row("a\ud83d", "kind: \udcff") == Reject(id="a\\ud83d", step="read", reason="kind: \\udcff")

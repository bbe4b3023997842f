from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.preparation.work import WORK, decode_entry, encode_entry, from_table, to_table
from data_pipeline.records import (
    AudioReference,
    Content,
    Conversation,
    ConversationMessage,
    Reject,
    Utterance,
)
from data_pipeline.steps.row import PreparedRow

TEXT = st.text(max_size=8)
REFERENCES = st.builds(
    AudioReference,
    path=TEXT,
    member=st.none() | TEXT,
    offset=st.none() | st.integers(0, 2**40),
    size=st.none() | st.integers(0, 2**40),
    start=st.integers(0, 9) | st.floats(0, 100),
    length=st.none() | st.floats(0, 100),
    in_samples=st.booleans(),
)
UTTERANCES = st.builds(
    Utterance,
    id=TEXT,
    corpus=TEXT,
    split=TEXT,
    language=st.sampled_from(["en", "zh"]),
    audio=REFERENCES,
    text=TEXT,
    duration=st.none() | st.floats(0, 100),
    emotion=st.sampled_from(["happy", ""]),
)
CONTENTS = st.builds(
    Content,
    text=TEXT,
    audio=st.none() | REFERENCES,
    units=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    speaker_embedding=st.lists(st.floats(-1, 1, width=32), max_size=3).map(tuple),
)
MESSAGES = st.builds(
    ConversationMessage,
    role=st.sampled_from(["system", "user", "assistant"]),
    content=st.lists(CONTENTS, max_size=2).map(tuple),
)
CONVERSATIONS = st.builds(
    Conversation,
    id=TEXT,
    corpus=TEXT,
    split=TEXT,
    language=st.just("en"),
    messages=st.lists(MESSAGES, max_size=3).map(tuple),
)


@given(UTTERANCES | CONVERSATIONS)
def test_an_entry_survives_as_json(entry: Utterance | Conversation) -> None:
    assert decode_entry(encode_entry(entry)) == entry


@given(
    st.lists(
        st.builds(
            PreparedRow,
            shard=TEXT,
            position=st.integers(0, 1000),
            entry=UTTERANCES | CONVERSATIONS,
            clips=st.lists(st.binary(max_size=4), max_size=2).map(tuple),
            clip_samples=st.lists(st.integers(0, 9), max_size=2).map(tuple),
            continuation=st.none() | TEXT,
            units=st.none() | st.lists(st.lists(st.integers(0, 9)).map(tuple), max_size=2).map(tuple),
            speakers=st.none() | st.lists(st.lists(st.floats(-1, 1, width=32)).map(tuple), max_size=2).map(tuple),
        ),
        max_size=4,
    ),
    st.booleans(),
)
def test_rows_survive_as_a_table(rows: list[PreparedRow], rejected: bool) -> None:
    if rejected:
        rows = [
            PreparedRow(shard=row.shard, position=row.position, entry=row.entry, reject=reject_of(row)) for row in rows
        ]
    table = to_table(rows)
    assert table.schema.equals(WORK)
    assert from_table(table) == rows


def reject_of(row: PreparedRow) -> Reject:
    return Reject(id=row.entry.id, step="filter", reason="too short: 0.1 s")

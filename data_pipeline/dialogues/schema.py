"""The columns of the tables between the stages of a build, and of the finished corpus."""

import pyarrow as pa

from data_pipeline.synthesis.quality.measures import Measures


def _required(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.string(), nullable=False) for name in names]


LABELS = ("emotion", "gender", "age")
"""Of a user."""
FIRST_MESSAGE = pa.schema(_required("id", "kind", "topic", "language", *LABELS, "text", "writer"))
"""A first message that a user may speak."""

MESSAGE = pa.struct(
    [
        *_required("role", "text"),
        pa.field("tone", pa.string(), nullable=False),  # of delivery; empty for users and for what is not spoken
        pa.field("spoken", pa.bool_(), nullable=False),
    ]
)
WRITTEN = pa.schema(
    [
        *_required("id", "kind", "topic", "language", *LABELS),
        pa.field("messages", pa.list_(MESSAGE), nullable=False),
        *_required("writer"),
    ]
)
"""A dialogue as text."""

_TYPES = {"int": pa.int32(), "float": pa.float64(), "str": pa.string()}
MEASURES = [pa.field(name, _TYPES[str(kind).partition(" ")[0]]) for name, kind in Measures.__annotations__.items()]
"""A column for each measure, null where it was not taken."""
SPOKEN = pa.schema(
    [
        *_required("id", "side", "language", "text", "voice", *LABELS, "tone", "speaker", "recogniser"),
        pa.field("samples", pa.int64(), nullable=False),
        pa.field("rate", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),  # of its FLAC in the archive of the shard
        pa.field("size", pa.int64(), nullable=False),
        pa.field("units", pa.list_(pa.int32()), nullable=False),  # of a reply, where there is a speech tokenizer
        *MEASURES,
    ]
)
"""A spoken text; its clip lies in the archive of its shard."""
DIALOGUE = pa.schema(
    [
        *WRITTEN,
        pa.field("utterances", pa.list_(pa.string()), nullable=False),  # of each message, empty where it is not spoken
        pa.field("seconds", pa.float64(), nullable=False),
    ]
)
"""A dialogue of the finished corpus."""

"""The columns of the tables between the stages of a build, and of the finished corpus."""

import pyarrow as pa


def _required(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.string(), nullable=False) for name in names]


FIRST_MESSAGE = pa.schema(_required("id", "kind", "topic", "language", "emotion", "gender", "age", "text", "writer"))
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
        *_required("id", "kind", "topic", "language", "emotion", "gender", "age"),  # labels of the user
        pa.field("messages", pa.list_(MESSAGE), nullable=False),
        *_required("writer"),
    ]
)
"""A dialogue as text."""

"""The columns of the tables that jobs publish."""

import pyarrow as pa

SAMPLE = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),  # an audio slot is one id, -200
        pa.field("token_types", pa.list_(pa.int8()), nullable=False),  # 1 where the speech decoder reads hidden states
        pa.field("labels", pa.list_(pa.int32()), nullable=False),  # -100: no loss
        pa.field("audios", pa.list_(pa.binary()), nullable=False),  # FLAC, mono, 16 kHz, in reading order
        pa.field("units", pa.list_(pa.list_(pa.int32())), nullable=False),  # per spoken reply, without the end unit
        pa.field("speakers", pa.list_(pa.list_(pa.float32())), nullable=False),  # per spoken reply, empty where unknown
        pa.field("emotion", pa.string(), nullable=False),  # in the first clip; empty where unknown or without clips
        pa.field("transcript", pa.string(), nullable=False),  # of the only clip; empty where unknown or not only one
        # The same conversation with the user's words in place of the clips; empty where unknown or without clips.
        pa.field("teacher_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("teacher_labels", pa.list_(pa.int32()), nullable=False),
        pa.field("corpus", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("length", pa.int32(), nullable=False),  # LLM positions once audio slots are filled
        pa.field("speech_length", pa.int32(), nullable=False),  # speech decoder positions of all replies
        pa.field("text_labels", pa.int32(), nullable=False),  # positions that count in the LLM's loss
        pa.field("unit_labels", pa.int32(), nullable=False),  # positions that count in the speech decoder's loss
    ]
)
"""One training sample, ready for the model, made by ``ray_jobs.prepare_data``."""

UTTERANCE = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("voice", pa.string(), nullable=False),
        pa.field("emotion", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("samples", pa.int64(), nullable=False),
        pa.field("rate", pa.int64(), nullable=False),
        pa.field("audio", pa.binary(), nullable=False),  # FLAC, mono, at ``rate`` Hz
    ]
)
"""One utterance of a speech corpus, in the shards from which ``ray_jobs.build_speech`` makes a corpus directory."""

REJECT = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("step", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""A rejected row, published beside the shard that it was planned for."""

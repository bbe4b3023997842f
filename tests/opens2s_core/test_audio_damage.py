"""Audio files that are damaged."""

import struct
import subprocess
import sys

import pytest

CLAIM = 0x6000_0000  # 1.5 GB
WAV_WITH_A_LONG_TAG = (
    struct.pack("<4sI4s4sI8sI", b"RIFF", CLAIM, b"WAVE", b"LIST", CLAIM, b"INFOISFT", CLAIM - 100) + b"a"
)
MP4_WITH_MANY_KEYS = b"".join(
    [
        struct.pack(">I4s4sI4s", 20, b"ftyp", b"M4A ", 0, b"isom"),
        struct.pack(">I4sI4sI", CLAIM, b"moov", CLAIM, b"meta", 0),
        struct.pack(">I4sII4s13x", 33, b"hdlr", 0, 0, b"mdta"),
        struct.pack(">I4sII", CLAIM, b"keys", 0, CLAIM // 8),
    ]
)


MEASURE = """
import resource, sys
from opens2s_core.audio import AudioError, decode_audio
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode_audio(sys.stdin.buffer.read())
except AudioError:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("data", [WAV_WITH_A_LONG_TAG, MP4_WITH_MANY_KEYS], ids=["wav", "mp4"])
def test_a_header_that_claims_gigabytes_reserves_no_memory(data: bytes) -> None:
    run = subprocess.run([sys.executable, "-c", MEASURE], input=data, capture_output=True, check=True, timeout=120)
    assert int(run.stdout) < 100  # MB

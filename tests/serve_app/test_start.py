"""What a replica imports when it starts: imports are most of its start time."""

import subprocess
import sys

from opens2s_core.voices import SLT

_LARGE = {"transformers", "torch._dynamo", "sympy", "peft", "scipy", "sklearn"}
"""Libraries that take longer to import than torch, together."""
_PROGRAM = """
import sys

import serve_app.app  # what Serve imports of any deployment
from opens2s_core.inference.loading import build_engine

build_engine("token2wav", sys.argv[1], capacity=1)
print(*sys.modules)
"""


def test_the_gateway_and_token2wav_import_no_large_library_but_torch() -> None:
    command = [sys.executable, "-c", _PROGRAM, str(SLT)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    modules = set(done.stdout.split())

    assert {"serve_app.gateway.gateway", "opens2s_core.inference.token2wav"} <= modules
    assert not modules & _LARGE

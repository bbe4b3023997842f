import subprocess
import sys

from data_pipeline.benchmark.processes import measured_usage

WORK = """
import sys, time
sys.stdin.readline()
held = b"x" * 400_000_000
while time.process_time() < 1: pass
print(flush=True)
sys.stdin.readline()
"""


def test_what_a_started_process_uses_counts() -> None:
    with subprocess.Popen([sys.executable, "-c", WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        with measured_usage() as idle:
            pass
        with measured_usage() as usage:
            process.stdin.write(b"begin\n")
            process.stdin.flush()
            process.stdout.readline()
    assert usage.cpu_seconds > idle.cpu_seconds + 0.5
    assert usage.peak_bytes > idle.peak_bytes + 300_000_000

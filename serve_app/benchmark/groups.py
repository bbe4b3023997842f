"""The groups of rows by name: each starts the servers that it measures, and can be measured alone."""

from collections.abc import Callable, Iterator, Mapping

from opens2s_core.benchmark.report import Measurement
from serve_app.benchmark.changes import churn_rows, ramp_rows
from serve_app.benchmark.comparison import Comparison
from serve_app.benchmark.continuity import closed_loop_rows, listening_rows
from serve_app.benchmark.failures import crash_rows, hang_rows
from serve_app.benchmark.latency import first_audio_rows, throughput_rows, transfer_rows
from serve_app.benchmark.overload import overload_rows

GROUPS: Mapping[str, Callable[[Comparison], Iterator[Measurement]]] = {
    "first-audio": first_audio_rows,
    "throughput": throughput_rows,
    "closed-loop": closed_loop_rows,
    "listening": listening_rows,
    "transfers": transfer_rows,
    "overload": overload_rows,
    "churn": churn_rows,
    "ramp": ramp_rows,
    "crash": crash_rows,
    "hang": hang_rows,
}

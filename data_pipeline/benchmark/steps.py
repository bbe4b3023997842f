"""What each step costs on its own, in one process and one thread: CPU time, so that other work does not count."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import torch

from data_pipeline.benchmark.clips import write_corpus, write_sources
from data_pipeline.corpora import CorpusFiles
from data_pipeline.corpora.manifest import Manifest
from data_pipeline.dataset.layout import DatasetFiles
from data_pipeline.dataset.parquet import parquet_bytes
from data_pipeline.preparation.bundle import load_text_settings, text_fingerprint
from data_pipeline.preparation.config import PrepareConfig
from data_pipeline.preparation.work import from_table, to_table
from data_pipeline.records import Utterance
from data_pipeline.schema import SAMPLE
from data_pipeline.steps.prepare import prepare_clips
from data_pipeline.steps.row import PreparedRow
from data_pipeline.steps.tokenise import tokenise
from opens2s_core.audio import SAMPLE_RATE, decode_segment, encode_audio, resample
from opens2s_core.benchmark.report import Measurement

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class _Times:
    """Milliseconds of CPU time a clip of each step, in order."""

    def __init__(self) -> None:
        self.by_step: dict[str, float] = {}

    def each(self, step: str, function: Callable[[_In], _Out], inputs: Sequence[_In]) -> list[_Out]:
        function(inputs[0])  # what is loaded or computed once
        start = time.process_time()
        made = [function(each) for each in inputs]
        self.by_step[step] = 1e3 * (time.process_time() - start) / len(inputs)
        return made

    def whole(self, step: str, function: Callable[[], _Out], clips: int) -> _Out:
        start = time.process_time()
        made = function()
        self.by_step[step] = 1e3 * (time.process_time() - start) / clips
        return made


def step_rows(clips: int, config: PrepareConfig, bundle: str, directory: Path) -> Iterator[Measurement]:
    """The rows of the report: a shard of so many clips goes through one step after another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = _time_steps(clips, config, bundle, directory)
    finally:
        torch.set_num_threads(threads)
    for step, milliseconds in times.by_step.items():
        yield Measurement(name=f"CPU time of a clip, {step}", value=milliseconds, unit="ms", better="lower")


def _time_steps(clips: int, config: PrepareConfig, bundle: str, directory: Path) -> _Times:
    files = CorpusFiles(write_corpus(directory / "one-shard", clips, write_sources(directory / "sources")))
    reader, limit = Manifest(), config.clips.max_seconds
    entries = [entry for part in reader.parts(files) for entry in reader.read(files, part)]
    utterances = [entry for entry in entries if isinstance(entry, Utterance)]
    paths = [utterance.audio.path for utterance in utterances]
    text = load_text_settings(bundle, text_fingerprint(bundle))
    rows = [PreparedRow(shard="", position=position, entry=entry) for position, entry in enumerate(utterances)]
    times = _Times()
    encoded = times.each("read", files.read, paths)
    decoded = times.each("decode", lambda data: decode_segment(data, 0, None, max_seconds=limit), encoded)
    waveforms = times.each("resample", lambda clip: resample(*clip, SAMPLE_RATE), decoded)
    times.each("encode as FLAC", lambda samples: encode_audio(samples, SAMPLE_RATE), waveforms)
    prepared = times.each("these four by prepare_clips", lambda row: prepare_clips(row, files, config.clips), rows)
    table = times.whole("to an Arrow table", lambda: to_table(prepared), clips)
    passed = times.whole("from an Arrow table", lambda: from_table(table), clips)
    samples = times.each(
        "tokenise", lambda row: tokenise(row, text.prompts, text.audio_positions, config.tokenise), passed
    )
    flat = [sample for of_row in samples for sample in of_row]
    data = times.whole("to Parquet", lambda: parquet_bytes(pa.Table.from_pylist(flat, schema=SAMPLE)), clips)
    output = DatasetFiles(str(directory / "one-shard-output"))
    times.whole("write to the disk", lambda: output.put("shard.parquet", data), clips)
    return times

"""Model cards of voices, in Markdown: parts, training, scores, limits and licences."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from opens2s_core.benchmark.report import Report, table_cells
from opens2s_core.benchmark.voice import VoiceResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """The origin of a voice, which is not measured."""

    made_by: str  # the command that made the voice
    measured_by: str  # the command that measured it
    training_data: str  # its description and licence, one or two sentences of Markdown


def write_card(
    path: Path, measured: VoiceResult, report: Report, provenance: Provenance, spectrograms: Sequence[Path]
) -> None:
    shown = (f"![{plot.stem}]({os.path.relpath(plot, path.parent)})" for plot in spectrograms)
    sections = (
        f"# A voice: speech tokenizer, flow and vocoder ({measured.speaker})",
        _what(measured),
        "## How it was made",
        f"```bash\n{provenance.made_by}\n{provenance.measured_by}\n```",
        f"Measured at commit `{report.commit or 'unknown'}`.",
        "## Scores",
        _scores(measured, report),
        *shown,
        "## Limits",
        _LIMITS.format(speaker=measured.speaker),
        "## Training data and licences",
        f"{provenance.training_data}\n\n{_LICENCE}",
    )
    path.write_text("\n\n".join(sections) + "\n")


def _what(measured: VoiceResult) -> str:
    voice = measured.voice
    tokenizer, flow = voice.tokenizer.config, voice.flow.config
    return f"""\
Three models that belong together, in the published layouts of the GLM-4-Voice family at another size:

| part | what it does | parameters |
|---|---|---|
| `speech_tokenizer/` | speech → units, {flow.input_frame_rate:g} a second out of {tokenizer.quantize_vocab_size} \
| {_millions(voice.tokenizer)} |
| `token2wav/flow` | units → log-mel, by flow matching | {_millions(voice.flow)} |
| `token2wav/hift` | log-mel → audio at {voice.rate} Hz (HiFT) | {_millions(voice.vocoder)} |"""


def _millions(model: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.2f} M"


def _scores(measured: VoiceResult, report: Report) -> str:
    header, *rows = table_cells(report)
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header), *(f"| {' | '.join(row)} |" for row in rows)]
    machine = ", ".join(f"{key} {value}" for key, value in report.machine.items() if value is not None)
    versions = ", ".join(f"{package} {number}" for package, number in report.versions.items())
    explained = _EXPLAINED.format(count=len(measured.rendered), speaker=measured.speaker)
    return "\n".join([explained, "", *lines, "", f"Machine: {machine}.", f"Versions: {versions}."])


_EXPLAINED = """\
On {count} sentences of `{speaker}` outside the training data. *original*: the recording itself; *vocoder*: its mel →
vocoder; *one-shot*: its units → flow → vocoder, all at once; *streamed*: the same by the engine that serves, chunk by
chunk. Word error is that of a recogniser not used in training; "added" is the difference to its error on the
recordings."""

_LIMITS = """\
- It speaks with one voice, `{speaker}`, and encodes well only speech similar to its training data.
- It was measured on everyday English only, without rare words and names.
- It has no listening test: word error measures intelligibility, not naturalness or emotion.
- The voice is synthetic, and listeners should be informed of that."""

_LICENCE = "The weights are under the Apache License 2.0, like the code that made them."

"""Spectrograms of the renditions of a sentence."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from opens2s_core.benchmark.voice import VoiceResult
from opens2s_core.models.vocoder import samples_per_frame
from opens2s_core.training.voice.features import LOG_FLOOR

PLOTTED = 2
_SHOWN = {
    "original": "recording",
    "vocoder": "its mel → vocoder",
    "streamed": "its units → flow → vocoder, as served",
}


def plot_sentences(measured: VoiceResult, directory: Path) -> list[Path]:
    """Write a PNG for each of a few sentences, evenly spaced; titles have the recognised words."""
    directory.mkdir(parents=True, exist_ok=True)
    count = len(measured.rendered)
    chosen = sorted({round(i) for i in np.linspace(0, count - 1, min(PLOTTED, count))})
    paths = []
    for i in chosen:
        path = directory / f"sentence-{i:03}.png"
        _figure(measured, i).savefig(path)
        paths.append(path)
    return paths


def _figure(measured: VoiceResult, index: int) -> Figure:
    voice, waveforms = measured.voice, measured.rendered[index].waveforms
    figure = Figure(figsize=(10, 8), layout="constrained")
    figure.suptitle(measured.ids[index])
    axes = figure.subplots(len(_SHOWN), sharex=True, sharey=True)
    recorded = voice.mel(waveforms["original"])
    quiet, loud = float(np.log(LOG_FLOOR)), float(recorded.max())
    seconds = recorded.shape[1] * samples_per_frame(voice.vocoder.config) / voice.rate
    for ax, (rendition, title) in zip(axes, _SHOWN.items(), strict=True):
        mel = voice.mel(waveforms[rendition])[:, : recorded.shape[1]].numpy()  # whole units may end later
        image = ax.imshow(mel, origin="lower", aspect="auto", vmin=quiet, vmax=loud, extent=(0, seconds, 0, len(mel)))
        ax.set_title(f"{title}: “{measured.transcripts[rendition][index]}”", fontsize="medium", wrap=True)
        ax.set_ylabel("mel channel")
    axes[-1].set_xlabel("seconds")
    figure.colorbar(image, ax=axes, label="log magnitude, Np")
    return figure

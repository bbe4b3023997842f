"""All benchmarks of the streaming engines, without Ray."""

from dataclasses import dataclass
from typing import Literal

import torch

from opens2s_core.benchmark.conversation import Goals, conversation_rows
from opens2s_core.benchmark.engine_models import SIZES, create_models, medium_flow
from opens2s_core.benchmark.language_engines import language_rows
from opens2s_core.benchmark.recogniser import Recogniser
from opens2s_core.benchmark.report import Bound, Measurement
from opens2s_core.benchmark.stream_quality import quality_rows
from opens2s_core.benchmark.token2wav_engine import reference_rows, token2wav_rows

SizeName = Literal["bench", "full"]

_TINY_GOALS = Goals(real_time_factor={1: Bound("at most", 0.7)})
_FULL_GOALS = Goals(
    first_audio={1: Bound("at most", 150), 16: Bound("at most", 400)},
    real_time_factor={1: Bound("at most", 0.7)},
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineBenchmark:
    """Settings. ``full`` is for a GPU: random bfloat16 weights of the published sizes. ``threads`` are torch's."""

    size: SizeName = "bench"
    threads: int = 2
    repeats: int = 5
    sentences: int = 100

    def __post_init__(self) -> None:
        for name in ("threads", "repeats", "sentences"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


def measure_engines(config: EngineBenchmark, recogniser: Recogniser) -> list[Measurement]:
    torch.set_num_threads(config.threads)
    device, repeats = "cuda" if torch.cuda.is_available() else "cpu", config.repeats
    models = create_models(SIZES[config.size], device=device, dtype=_dtype(config.size))
    rows = language_rows(models, repeats) + token2wav_rows(models.flow, models.vocoder, repeats)
    if config.size == "full":
        return rows + conversation_rows("full", models, (1, 8, 16, 32), _FULL_GOALS, repeats)
    rows += reference_rows(medium_flow().to(device), models.vocoder, max(1, repeats // 2))
    rows += conversation_rows(config.size, models, (1, 4, 8), Goals(), repeats)
    tiny = create_models(SIZES["tiny"], device=device, dtype=torch.float32)
    rows += conversation_rows("tiny", tiny, (1, 4), _TINY_GOALS, repeats)
    return rows + quality_rows(recogniser, config.sentences)


def _dtype(size: SizeName) -> torch.dtype:
    return torch.bfloat16 if size == "full" else torch.float32

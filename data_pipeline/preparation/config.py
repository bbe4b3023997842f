"""The configuration of a data set."""

from dataclasses import dataclass, field
from typing import Any

from data_pipeline.preparation.models import PoolConfig
from data_pipeline.steps.filters import FilterConfig
from data_pipeline.steps.prepare import ClipConfig
from data_pipeline.steps.statistics import SelectionConfig
from data_pipeline.steps.tokenise import TokeniseConfig
from opens2s_core.config import config_to_dict


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareConfig:
    """How the rows of a corpus become samples; ``tokenise.task`` decides which models run."""

    tokenise: TokeniseConfig
    clips: ClipConfig = field(default_factory=ClipConfig)
    filters: FilterConfig = field(default_factory=FilterConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    shard_rows: int = 512
    max_reject_share: float = 0.5
    """The job fails where a greater share of the rows is rejected."""
    speaker_embeddings: bool = False
    generator: PoolConfig = field(default_factory=PoolConfig)
    speech_tokenizer: PoolConfig = field(default_factory=PoolConfig)
    speaker_encoder: PoolConfig = field(default_factory=PoolConfig)

    def __post_init__(self) -> None:
        if self.shard_rows < 1 or not 0 <= self.max_reject_share <= 1:
            raise ValueError(
                "expected shard_rows >= 1 and max_reject_share from 0 to 1, "
                f"got {self.shard_rows} and {self.max_reject_share:g}"
            )

    def identity(self) -> dict[str, Any]:
        """The settings that decide the contents of a data set: not those of the actors, nor ``max_reject_share``."""
        others = ("max_reject_share", "generator", "speech_tokenizer", "speaker_encoder")
        return {name: value for name, value in config_to_dict(self).items() if name not in others}

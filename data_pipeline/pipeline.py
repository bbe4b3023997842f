"""From dialogues to training samples: every step in order, one shard at a time."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa
import torch

from data_pipeline.report import RowFacts, SampleFacts, count_rows
from data_pipeline.schema import DIALOGUE, SAMPLE
from data_pipeline.sinks import Shard, ShardContent, finished_shards, plan_shards, read_shard
from data_pipeline.steps.decode import decode_turn, encoded_turn
from data_pipeline.steps.filter import check_turn
from data_pipeline.steps.rejects import Rejects
from data_pipeline.steps.speech_units import UnitEncoder, encode_turns
from data_pipeline.steps.tokenise import TokenisedTurn, tokenise_turn
from opens2s_core.checkpoint.bundle import OPENS2S, SPEECH_TOKENIZER
from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.opens2s import load_prompt_builder, read_config
from opens2s_core.checkpoint.speech_tokenizer import load_speech_tokenizer
from opens2s_core.config import config_to_dict
from opens2s_core.prompt import PromptBuilder
from opens2s_core.storage import SETTINGS, digest, fetch_directory

_MODEL_FILES = (*(f"{OPENS2S}/{pattern}" for pattern in SETTINGS), f"{SPEECH_TOKENIZER}/*")
"""Patterns of the files of a bundle that :class:`PrepareModel` reads."""

VERSION = 3
"""Raised when the same dialogues, configuration and model give other samples or another report."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareConfig:
    """Which turns are used (both sounds within the seconds, replies within the tokens), how many replies are turned
    into units at once, and whether each turn is learned from its written words as well."""

    min_seconds: float = 0.5
    max_seconds: float = 30.0
    max_text_tokens: int = 256
    unit_batch: int = 16
    written_questions: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.min_seconds <= self.max_seconds:
            raise ValueError(
                f"expected 0 < min_seconds <= max_seconds, got {self.min_seconds:g} and {self.max_seconds:g}"
            )


@dataclass(frozen=True, slots=True)
class PrepareModel:
    """The parts of a bundle that decide what a sample looks like."""

    prompts: PromptBuilder
    audio_positions: Callable[[int], int]
    units: UnitEncoder


def plan_samples(config: PrepareConfig, dialogues: str, bundle: str) -> list[Shard]:
    """A shard of samples for each shard of ``dialogues`` (an absolute URL)."""
    inputs = [{"name": name, "fingerprint": mark} for name, mark in finished_shards(dialogues).items()]
    return plan_shards(
        inputs, made_by={"config": config_to_dict(config), "model": bundle_fingerprint(bundle), "version": VERSION}
    )


def make_samples(inputs: str, *, config: PrepareConfig, dialogues: str, bundle: str, fingerprint: str) -> ShardContent:
    """One planned shard of samples. ``fingerprint`` is the bundle's: a worker that holds another loads it anew."""
    table = read_shard(dialogues, json.loads(inputs)["name"], DIALOGUE)
    return prepare_turns(table.to_pylist(), config, _load_model(bundle, fingerprint))


def prepare_turns(rows: Iterable[Mapping[str, Any]], config: PrepareConfig, model: PrepareModel) -> ShardContent:
    """Rows of schema DIALOGUE → rows of schema SAMPLE, through every step."""
    rejects = Rejects()
    turns = [encoded_turn(row) for row in rows]
    decoded = rejects.sift("decode", partial(decode_turn, max_seconds=config.max_seconds), turns)
    checked = rejects.sift("filter", partial(check_turn, min_seconds=config.min_seconds), decoded)
    encoded = encode_turns(checked, model.units, batch_size=config.unit_batch)
    tokenise = partial(
        tokenise_turn,
        prompts=model.prompts,
        audio_positions=model.audio_positions,
        max_text_tokens=config.max_text_tokens,
        written_questions=config.written_questions,
    )
    tokenised = rejects.sift("tokenise", tokenise, encoded)
    samples = [sample for turn in tokenised for sample in turn.samples]
    return ShardContent(
        rows=pa.Table.from_pylist(samples, schema=SAMPLE),
        rejects=rejects.table(),
        report=count_rows(map(_facts, tokenised), rejects.rows),
    )


def _facts(turn: TokenisedTurn) -> RowFacts:
    return RowFacts(
        corpus="dialogues",
        split="train",
        language="en",
        clip_samples=turn.clip_samples,
        samples=tuple(
            SampleFacts(
                length=sample["length"],
                text_labels=sample["text_labels"],
                unit_labels=sample["unit_labels"],
                units=sum(map(len, sample["units"])),
                spoken_tokens=sum(sample["token_types"]),
            )
            for sample in turn.samples
        ),
    )


def bundle_fingerprint(bundle: str) -> str:
    """A hash of what :class:`PrepareModel` reads: text tokenizer and settings, and the whole speech tokenizer."""
    root = fetch_directory(bundle, *_MODEL_FILES)
    # Of a URL, others may have fetched more.
    settings = [path for pattern in SETTINGS for path in (root / OPENS2S).glob(pattern)]
    if not settings:
        raise CheckpointError(f"{bundle} is not a bundle: expected {OPENS2S}/ and {SPEECH_TOKENIZER}/ in it")
    files = sorted([*settings, *(root / SPEECH_TOKENIZER).glob("*")])
    lines = "".join(f"{path.relative_to(root)} {digest(path)}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


@lru_cache(maxsize=1)
def _load_model(bundle: str, fingerprint: str) -> PrepareModel:
    root = fetch_directory(bundle, *_MODEL_FILES)
    directory = root / OPENS2S
    return PrepareModel(
        prompts=load_prompt_builder(directory),
        audio_positions=read_config(directory).audio_positions,
        units=load_speech_tokenizer(root / SPEECH_TOKENIZER, torch.float32),
    )

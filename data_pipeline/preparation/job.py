"""Preparing a data set from a corpus: plan, pipeline, description."""

from dataclasses import replace
from functools import partial
from typing import Any

import ray
import torch

from data_pipeline.corpora import CorpusReader
from data_pipeline.dataset.layout import absolute_url
from data_pipeline.dataset.plan import fingerprint
from data_pipeline.dataset.writer import DatasetWriter
from data_pipeline.preparation.bundle import load_speech_units, speaker_dim, speech_fingerprint, text_fingerprint
from data_pipeline.preparation.config import PrepareConfig
from data_pipeline.preparation.description import describe
from data_pipeline.preparation.generators import GeneratorConfig, load_continuations
from data_pipeline.preparation.models import ModelStage
from data_pipeline.preparation.pipeline import prepare_shards
from data_pipeline.preparation.planning import Plan, make_plan
from data_pipeline.preparation.shard import Preparation, TooManyRejects, check_rejects
from data_pipeline.progress import ShowProgress
from data_pipeline.ray_output import quiet_ray_data
from data_pipeline.report import Report, merge_reports
from data_pipeline.steps.continuation import ContinuationKind
from data_pipeline.steps.speaker_embedding import ResemblyzerEncoder, SpeakerEmbeddings
from opens2s_core.config import config_to_dict
from opens2s_core.storage import absolute_directory

VERSION = 4
"""Raised when the same corpus, configuration and models give other samples."""
_KINDS: dict[str, ContinuationKind] = {"continuation": "semantic", "emotional continuation": "emotional"}


_UNANSWERED = "continuation: no answer"
"""Kind of the rows for which a language model gave no answer."""


class PreparationError(ValueError):
    """A job that cannot run: the message says what is missing."""


def prepare_dataset(
    config: PrepareConfig,
    reader: CorpusReader,
    root: str,
    bundle: str,
    output: str,
    *,
    generator: GeneratorConfig | None = None,
    progress: ShowProgress,
) -> Report:
    """Publish samples of the corpus at ``root`` as the data set ``output``; both are directories or URLs.

    A job that was killed resumes when it is started again; a finished one changes nothing. Raises
    :class:`PreparationError`, :class:`~data_pipeline.preparation.shard.TooManyRejects` and
    :class:`~data_pipeline.dataset.DatasetError`.
    """
    quiet_ray_data()
    url, corpus, bundle = absolute_url(output), absolute_url(root), absolute_directory(bundle)
    if f"{url}/".startswith(f"{corpus}/") or f"{corpus}/".startswith(f"{url}/"):
        raise PreparationError(f"output {url} and corpus {corpus}: expected neither to lie in the other")
    writer = DatasetWriter(url)
    if generator is None and _needs_generator(config):
        raise PreparationError(
            f"the task {config.tokenise.task!r} needs a language model that writes continuations: expected a generator"
        )
    config = replace(config, tokenise=replace(config.tokenise, speaker_dim=speaker_dim(bundle)))
    if config.speaker_embeddings and config.tokenise.speaker_dim != ResemblyzerEncoder.dim:
        raise PreparationError(
            f"{bundle} reads speaker vectors of {config.tokenise.speaker_dim} numbers, the speaker encoder makes "
            f"{ResemblyzerEncoder.dim}: expected a bundle of that size, or a recipe without speaker_embeddings"
        )
    made_from = _made_from(config, reader, bundle, generator)
    plan = make_plan(url, reader, corpus, config.tokenise.task, config.selection, config.shard_rows, made_from)
    preparation = Preparation(
        output=url,
        root=corpus,
        config=config,
        plan=plan,
        stages=_stages(config, bundle, generator, plan, made_from["speech_tokenizer"]),
        bundle=bundle,
        bundle_fingerprint=made_from["text_settings"],
    )
    pending = writer.pending(plan.shards, plan.fingerprint)
    if pending:  # rows without an answer of a service may get one now
        done = [shard for shard in plan.shards if shard not in set(pending)]
        unanswered = [name for name, report in writer.reports(done).items() if _UNANSWERED in report.rejected]
        pending = sorted([*pending, *unanswered])
    rows = sum(plan.live)
    _check_cpus(preparation.stages)
    with progress(rows, rows - sum(plan.live_rows(shard) for shard in pending)) as passed:
        prepare_shards(preparation, pending, passed)
    _check_rejects(writer, plan, config.max_reject_share)
    return describe(preparation, reader, made_from)


def _check_cpus(stages: tuple[ModelStage, ...]) -> None:
    """Fail where Ray Data would wait for ever: each pool needs an actor, and tasks need a CPU beside them."""
    needed = 1 + sum(stage.pool.min_actors * stage.pool.cpus for stage in stages)
    there = ray.cluster_resources().get("CPU", 0.0)
    if stages and 0 < there < needed:  # a cluster that scales from nothing shows none
        raise PreparationError(
            f"this Ray has {there:g} CPUs: expected at least {needed:g} for the models and the tasks"
        )


def _check_rejects(writer: DatasetWriter, plan: Plan, share: float) -> None:
    """Fail where too many rows are rejected. Their shards are made again by the next job: the cause may be mended."""
    reports = writer.reports(plan.shards)
    try:
        check_rejects(writer.url, merge_reports(reports.values()), share)
    except TooManyRejects:
        writer.withdraw([name for name, report in reports.items() if plan.live_rows(name) > report.rows_out])
        raise


def _made_from(
    config: PrepareConfig, reader: CorpusReader, bundle: str, generator: GeneratorConfig | None
) -> dict[str, Any]:
    """All that decides what a data set holds, as plain data."""
    needs_units = _needs_units(config)
    return {
        "version": VERSION,
        "corpus": {"name": reader.name, "settings": config_to_dict(reader)},
        "config": config.identity(),
        "text_settings": text_fingerprint(bundle),
        "speech_tokenizer": speech_fingerprint(bundle) if needs_units else None,
        "generator": {"model": generator.model} if generator and _needs_generator(config) else None,
    }


def _stages(
    config: PrepareConfig, bundle: str, generator: GeneratorConfig | None, plan: Plan, speech_tokenizer: str | None
) -> tuple[ModelStage, ...]:
    """The models that the task needs, in order. ``speech_tokenizer`` is its fingerprint."""
    before = {"rows": plan.rows_fingerprint, "clips": config_to_dict(config.clips)}
    stages = []
    if _needs_generator(config):
        assert generator is not None
        stages.append(
            ModelStage(
                name="continuation",
                field="continuation",
                build=partial(load_continuations, generator, _KINDS[config.tokenise.task]),
                pool=config.generator,
                fingerprint=fingerprint(
                    [before, _KINDS[config.tokenise.task], generator.model, generator.max_new_tokens]
                ),
            )
        )
    if _needs_units(config):
        stages.append(
            ModelStage(
                name="units",
                field="units",
                build=partial(load_speech_units, bundle),
                pool=config.speech_tokenizer,
                fingerprint=fingerprint([before, speech_tokenizer]),
            )
        )
    if config.speaker_embeddings:
        stages.append(
            ModelStage(
                name="speakers",
                field="speakers",
                build=_load_speaker_encoder,
                pool=config.speaker_encoder,
                fingerprint=fingerprint([before, "resemblyzer"]),
            )
        )
    return tuple(stages)


def _needs_generator(config: PrepareConfig) -> bool:
    return config.tokenise.task in _KINDS


def _needs_units(config: PrepareConfig) -> bool:
    return config.tokenise.task in ("conversation", "text to speech")


def _load_speaker_encoder() -> SpeakerEmbeddings:
    return SpeakerEmbeddings(ResemblyzerEncoder("cuda" if torch.cuda.is_available() else "cpu"))

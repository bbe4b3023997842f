"""Preparing a data set from a corpus: plan, pipeline, description."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import ray
import torch

from data_pipeline.corpora import CorpusReader
from data_pipeline.dataset.layout import DatasetFiles, absolute_url
from data_pipeline.dataset.plan import fingerprint
from data_pipeline.dataset.writer import DatasetWriter, Marker
from data_pipeline.preparation.bundle import (
    has_speech_tokenizer,
    load_speech_units,
    speaker_dim,
    speech_fingerprint,
    text_fingerprint,
)
from data_pipeline.preparation.config import PrepareConfig
from data_pipeline.preparation.description import describe
from data_pipeline.preparation.generators import GeneratorConfig, continuation_stage, missing_software
from data_pipeline.preparation.models import ActorStage, ModelStage
from data_pipeline.preparation.pipeline import prepare_shards
from data_pipeline.preparation.planning import Plan, make_plan
from data_pipeline.preparation.shard import Preparation, TooManyRejects, check_rejects
from data_pipeline.progress import ShowProgress
from data_pipeline.ray_map import map_in_tasks
from data_pipeline.ray_output import quiet_ray_data
from data_pipeline.report import Report, merge_reports
from data_pipeline.steps.speaker_embedding import ResemblyzerEncoder, SpeakerEmbeddings
from data_pipeline.steps.tasks import TASKS, Task
from opens2s_core.config import config_to_dict
from opens2s_core.storage import absolute_directory

VERSION = 5
"""Raised when the same corpus, configuration and models give other samples."""

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
    recipe: str = "",
    progress: ShowProgress,
    output_in_corpus: bool = False,
) -> Report:
    """Publish samples of the corpus at ``root`` as the data set ``output``; both are directories or URLs. ``recipe`` is
    the name of ``config``, where it has one: the card and the manifest state it. ``output_in_corpus`` allows an output
    below ``root``, for a reader that does not read what is there.

    A job that was killed resumes when it is started again; a finished one changes nothing. Raises
    :class:`PreparationError`, :class:`~data_pipeline.preparation.shard.TooManyRejects` and
    :class:`~data_pipeline.dataset.DatasetError`.
    """
    quiet_ray_data()
    url, corpus, bundle = absolute_url(output), absolute_url(root), absolute_directory(bundle)
    below = f"{url}/".startswith(f"{corpus}/") and not output_in_corpus
    if below or f"{corpus}/".startswith(f"{url}/"):
        raise PreparationError(f"output {url} and corpus {corpus}: expected neither to lie in the other")
    writer = DatasetWriter(url)
    if generator is None and TASKS[config.tokenise.task].continuation:
        raise PreparationError(
            f"the task {config.tokenise.task!r} needs a language model that writes continuations: expected a generator"
        )
    if generator is not None and (missing := missing_software(generator)) is not None:
        raise PreparationError(missing)
    config = replace(config, tokenise=replace(config.tokenise, speaker_dim=speaker_dim(bundle)))
    if config.speaker_embeddings and config.tokenise.speaker_dim != ResemblyzerEncoder.dim:
        raise PreparationError(
            f"{bundle} reads speaker vectors of {config.tokenise.speaker_dim} numbers, the speaker encoder makes "
            f"{ResemblyzerEncoder.dim}: expected a bundle of that size, or a recipe without speaker_embeddings"
        )
    made_from = _made_from(config, reader, bundle, generator)
    with DatasetFiles(url).for_one_job():
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
        done = writer.published(dict.fromkeys(plan.shards, plan.fingerprint), map_in_tasks)
        writer.keep(plan.shards, done)
        if len(done) < len(plan.shards):  # rows without an answer of a service may get one now
            done = {name: marker for name, marker in done.items() if _UNANSWERED not in marker.report.rejected}
        pending = [shard for shard in plan.shards if shard not in done]
        rows = sum(plan.live)
        _check_cpus(preparation.stages)
        with progress(rows, rows - sum(plan.live_rows(shard) for shard in pending)) as passed:
            prepare_shards(preparation, pending, passed)
        markers = done | writer.markers(pending)
        _check_rejects(writer, plan, markers, config.max_reject_share)
        return describe(preparation, reader, made_from, markers, recipe)


def _check_cpus(stages: tuple[ModelStage, ...]) -> None:
    """Fail where Ray Data would wait for ever: each pool needs an actor, and tasks need a CPU beside them."""
    needed = 1 + sum(stage.pool.min_actors * stage.pool.cpus for stage in stages)
    there = ray.cluster_resources().get("CPU", 0.0)
    if stages and 0 < there < needed:  # a cluster that scales from nothing shows none
        raise PreparationError(
            f"this Ray has {there:g} CPUs: expected at least {needed:g} for the models and the tasks"
        )


def _check_rejects(writer: DatasetWriter, plan: Plan, markers: Mapping[str, Marker], share: float) -> None:
    """Fail where too many rows are rejected. Their shards are made again by the next job: the cause may be mended."""
    reports = {name: marker.report for name, marker in markers.items()}
    try:
        check_rejects(writer.url, merge_reports(reports.values()), share)
    except TooManyRejects:
        writer.withdraw([name for name, report in reports.items() if plan.live_rows(name) > report.rows_out])
        raise


def _made_from(
    config: PrepareConfig, reader: CorpusReader, bundle: str, generator: GeneratorConfig | None
) -> dict[str, Any]:
    """All that decides what a data set holds, as plain data."""
    needs = TASKS[config.tokenise.task]
    return {
        "version": VERSION,
        "corpus": {"name": reader.name, "settings": config_to_dict(reader)},
        "config": config.identity(),
        "text_settings": text_fingerprint(bundle),
        "speech_tokenizer": _speech_tokenizer(bundle, config.tokenise.task),
        "generator": {"model": generator.model} if generator and needs.continuation else None,
    }


def _speech_tokenizer(bundle: str, task: Task) -> str | None:
    """The fingerprint of the speech tokenizer that a task needs. Conversations do without one: a reply may have its
    units already, and is rejected if it has none."""
    if not TASKS[task].units or (task == "conversation" and not has_speech_tokenizer(bundle)):
        return None
    return speech_fingerprint(bundle)


def _stages(
    config: PrepareConfig, bundle: str, generator: GeneratorConfig | None, plan: Plan, speech_tokenizer: str | None
) -> tuple[ModelStage, ...]:
    """The models that the task needs, in order. ``speech_tokenizer`` is its fingerprint, None if there is none."""
    before = {"rows": plan.rows_fingerprint, "clips": config_to_dict(config.clips)}
    needs = TASKS[config.tokenise.task]
    stages: list[ModelStage] = []
    if needs.continuation:
        assert generator is not None
        stages.append(
            continuation_stage(
                generator,
                needs.continuation,
                config.generator,
                fingerprint([before, needs.continuation, generator.model, generator.max_new_tokens]),
            )
        )
    if needs.units:
        stages.append(
            ActorStage(
                name="units",
                field="units",
                build=partial(load_speech_units, bundle),
                pool=config.speech_tokenizer,
                fingerprint=fingerprint([before, speech_tokenizer]),
            )
        )
    if config.speaker_embeddings:
        stages.append(
            ActorStage(
                name="speakers",
                field="speakers",
                build=_load_speaker_encoder,
                pool=config.speaker_encoder,
                fingerprint=fingerprint([before, "resemblyzer"]),
            )
        )
    return tuple(stages)


def _load_speaker_encoder() -> SpeakerEmbeddings:
    return SpeakerEmbeddings(ResemblyzerEncoder("cuda" if torch.cuda.is_available() else "cpu"))

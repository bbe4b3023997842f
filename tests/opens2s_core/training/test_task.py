"""Every stage as a task of the loop: what it learns, what stays frozen, and that a resumed run is the same run."""

import copy
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.checkpoint.vocabulary import Vocabulary, read_vocabulary
from opens2s_core.models.lora import LoraSettings
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.prompt import PromptBuilder, Spoken, Text
from opens2s_core.training.augmentation import AugmentationConfig
from opens2s_core.training.batch import EncodedSample
from opens2s_core.training.distillation import DistillationConfig
from opens2s_core.training.engine import Precision, TorchEngine
from opens2s_core.training.loop import RunConfig, train
from opens2s_core.training.objective import Objective
from opens2s_core.training.plan import PlanConfig
from opens2s_core.training.run import Run, open_run
from opens2s_core.training.stages import STAGE0, STAGE1A, STAGE1B, STAGE2A, STAGE2B, STAGE3, StageConfig
from opens2s_core.training.task import OpenS2STask, TrainConfig
from opens2s_core.training.trained import StageRun
from tests.opens2s_core.training.samples import ListedSamples, encode, kinds_of_samples, turn

LORA = LoraSettings(rank=4, dropout=0.3)
STAGES = {
    "stage0": STAGE0,
    "stage1a": STAGE1A,
    "stage1a by distillation": replace(
        STAGE1A, losses={"distillation": 1.0}, distillation=DistillationConfig(loss="rlkd", top_k=5)
    ),
    "stage1b with LoRA and emotions": replace(
        STAGE1B,
        rates={"adapter": 1.0, "llm": 0.1, "emotion_head": 1.0},
        losses={"text": 1.0, "emotion": 0.5},
        lora=LORA,
    ),
    "stage2a": STAGE2A,
    "stage2b": STAGE2B,
    "stage3": STAGE3,
}
PREFIXES = {
    "audio_encoder": ("model.thinker.audio_encoder_model.",),
    "adapter": ("model.thinker.audio_adapter.",),
    "llm": ("model.thinker.llm_model.",),
    "projection": ("model.speech_decoder.llm2tts.", "model.speech_decoder.llm_ln."),
    "speech_decoder": ("model.speech_decoder.tts_lm_model.",),
    "ctc_head": ("ctc_head.",),
    "emotion_head": ("emotion_head.",),
}


@pytest.fixture(scope="module")
def start(tiny_bundle: Path) -> OpenS2S:
    return load_opens2s(tiny_bundle / OPENS2S)


@pytest.fixture(scope="module")
def vocabulary(tiny_bundle: Path) -> Vocabulary:
    return read_vocabulary(tiny_bundle / OPENS2S)


@pytest.fixture(scope="module")
def samples(start: OpenS2S, vocabulary: Vocabulary) -> ListedSamples:
    return ListedSamples(known_samples(vocabulary), start.config)


def known_samples(vocabulary: Vocabulary) -> list[EncodedSample]:
    """With what the single clips say, and how."""
    prompts = PromptBuilder(vocabulary.tokenizer, "training")
    kinds = kinds_of_samples(prompts)
    read = {
        "speech to speech": encode(prompts, turn([Text("I am here.")], Spoken("I hear you.", (0,)))),
        "speech to text": encode(prompts, turn([Text("It began well."), Text("continue")], Text("the story goes on"))),
    }
    emotions = {"speech to speech": "sad", "speech to text": "happy"}
    for kind, teacher in read.items():
        kinds[kind] = replace(
            kinds[kind],
            transcript="I am here.",
            emotion=emotions[kind],
            teacher_ids=teacher.input_ids,
            teacher_labels=teacher.labels,
        )
    return list(kinds.values())


def config(stage: StageConfig, steps: int = 6, **changes: Any) -> TrainConfig:
    plan = PlanConfig(micro_batches_per_step=2, micro_batch_positions=200, micro_batch_speech_positions=100)
    values = {"learning_rate": 5e-3, "warmup_steps": 2, "weight_decay": 0.1} | changes
    return TrainConfig(stage=stage, run=RunConfig(steps=steps, checkpoint_every=2), plan=plan, **values)


def task_of(start: OpenS2S, run: TrainConfig, samples: ListedSamples, vocabulary: Vocabulary, **parts: Any) -> Any:
    objective = Objective(copy.deepcopy(start), run.stage, seed=run.plan.seed)
    engine = TorchEngine(
        objective, weight_decay=run.weight_decay, max_grad_norm=run.max_grad_norm, precision=run.precision
    )
    return closing(OpenS2STask(engine, run, samples, vocabulary, **parts))


def learn(task: OpenS2STask, run: TrainConfig, directory: Path | Run) -> list[dict[str, float]]:
    opened = directory if isinstance(directory, Run) else open_run(directory, {})
    metrics: list[dict[str, float]] = []
    train(task, run.run, opened, on_step=lambda progress: metrics.append(dict(progress.metrics)))
    return metrics


def state(task: OpenS2STask) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in task.state()}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_lowers_its_losses_and_trains_its_parts(
    tmp_path: Path, start: OpenS2S, vocabulary: Vocabulary, samples: ListedSamples, name: str
) -> None:
    run = config(STAGES[name], steps=24)
    with task_of(start, run, samples, vocabulary) as task:
        before = copy.deepcopy(task._engine.objective.state_dict())
        metrics = learn(task, run, tmp_path)
        after = task._engine.objective.state_dict()
    for loss in run.stage.losses:
        first, last = metrics[:3], metrics[-3:]
        assert sum(m[f"loss/{loss}"] for m in last) < sum(m[f"loss/{loss}"] for m in first), loss
    changed = {key for key, value in after.items() if not torch.equal(value, before[key])}
    trained = tuple(prefix for part in run.stage.rates for prefix in PREFIXES[part])
    assert all(key.startswith(trained) for key in changed)
    for part in run.stage.rates:
        assert any(key.startswith(PREFIXES[part]) for key in changed), part
    if run.stage.lora is not None:
        assert all(".lora_" in key for key in changed if key.startswith(PREFIXES["llm"]))


@pytest.mark.parametrize(
    ("name", "precision"),
    [("stage0", "float32"), ("stage1b with LoRA and emotions", "float32"), ("stage3", "bfloat16")],
)
def test_a_resumed_run_has_the_same_bits(
    tmp_path: Path, start: OpenS2S, vocabulary: Vocabulary, samples: ListedSamples, name: str, precision: Precision
) -> None:
    run = config(STAGES[name], precision=precision, augmentation=AugmentationConfig())
    with task_of(start, run, samples, vocabulary) as task:
        whole = learn(task, run, tmp_path / "whole")
        expected = state(task)

    class Killed(Exception):
        pass

    def kill(progress: Any) -> None:
        if progress.done == 5:
            raise Killed

    with task_of(start, run, samples, vocabulary) as task, pytest.raises(Killed):
        train(task, run.run, open_run(tmp_path / "killed", {}), on_step=kill)
    torch.manual_seed(1234)  # another process would have other random numbers
    with task_of(start, run, samples, vocabulary) as task:
        resumed = learn(task, run, tmp_path / "killed")
        assert [metrics["loss"] for metrics in resumed] == [metrics["loss"] for metrics in whole[4:]]
        actual = state(task)
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[key], value) for key, value in expected.items())


def test_the_trained_model_is_the_start_with_the_weights_of_the_checkpoint(
    tmp_path: Path, tiny_bundle: Path, start: OpenS2S, vocabulary: Vocabulary, samples: ListedSamples
) -> None:
    run = config(STAGES["stage1b with LoRA and emotions"])
    opened = open_run(tmp_path, {})
    with task_of(start, run, samples, vocabulary) as task:
        learn(task, run, opened)
        expected = task._engine.objective.eval()
        batch_losses = losses_of(expected, samples, vocabulary)
    trained = StageRun(run=opened, stage=run.stage, seed=run.plan.seed, units_per_token=2.5)
    exported = trained.load(tiny_bundle)
    assert exported.config.units_per_token == 2.5
    assert exported.config.transcription_prompt == start.config.transcription_prompt != ""
    transcribing = replace(trained, transcription_prompt="Write: ").load(tiny_bundle)
    assert transcribing.config == replace(exported.config, transcription_prompt="Write: ")
    assert exported.state_dict().keys() == start.state_dict().keys()
    plain = Objective(exported, STAGE3, seed=0).eval()
    assert losses_of(plain, samples, vocabulary)["text"] == pytest.approx(batch_losses["text"], rel=1e-4)


@torch.no_grad()
def losses_of(objective: Objective, samples: ListedSamples, vocabulary: Vocabulary) -> dict[str, float]:
    from opens2s_core.training.batch import collate

    batch = collate([samples[index] for index in range(len(samples.lengths))], objective.model.config, vocabulary)
    return {name: float(value) for name, value in objective(batch).items()}


class TwoRanks(TorchEngine):
    """One of two workers in one process, whose gradients are added up later."""

    def __init__(self, objective: Objective, rank: int, counts: Iterator[list[float]] | None = None) -> None:
        super().__init__(objective, weight_decay=0.0, max_grad_norm=1.0)
        self.rank, self.world, self.reduced = rank, 2, list[list[float]]()
        self._others = counts

    def step(self, learning_rate: float) -> float:
        return 0.0

    def reduce(self, values: list[float]) -> list[float]:
        self.reduced.append(values)
        if self._others is None:
            return values
        return [own + other for own, other in zip(values, next(self._others), strict=True)]


@pytest.mark.parametrize("lanes", [2, 3])  # of 3 lanes one worker has an empty one
@pytest.mark.parametrize("name", ["stage0", "stage1b with LoRA and emotions", "stage3"])
def test_the_gradient_of_a_step_is_the_sum_over_workers(
    start: OpenS2S, vocabulary: Vocabulary, samples: ListedSamples, name: str, lanes: int
) -> None:
    run = config(STAGES[name])
    run = replace(run, plan=replace(run.plan, micro_batches_per_step=lanes))

    def gradients(engine: TorchEngine) -> dict[str, torch.Tensor]:
        with closing(OpenS2STask(engine, run, samples, vocabulary)) as task:
            task.step(0)
        return {key: p.grad for key, p in engine.objective.named_parameters() if p.grad is not None}

    def objective() -> Objective:
        return Objective(copy.deepcopy(start), run.stage, seed=0)

    class Alone(TwoRanks):
        def __init__(self, objective: Objective) -> None:
            super().__init__(objective, 0)
            self.world = 1

    whole = gradients(Alone(objective()))
    counted = [TwoRanks(objective(), rank) for rank in (0, 1)]  # first to know the counts of both
    for engine in counted:
        gradients(engine)
    shares = [gradients(TwoRanks(objective(), rank, iter(counted[1 - rank].reduced))) for rank in (0, 1)]
    for key, gradient in whole.items():
        torch.testing.assert_close(gradient, shares[0][key] + shares[1][key], atol=1e-6, rtol=1e-4, msg=key)


def test_validation_does_not_change_training_and_knows_its_emotions(
    tmp_path: Path, start: OpenS2S, vocabulary: Vocabulary, samples: ListedSamples
) -> None:
    run = config(STAGE0)
    with task_of(start, run, samples, vocabulary) as task:
        learn(task, run, tmp_path / "without")
        expected = state(task)
    with task_of(start, run, samples, vocabulary, held_out=samples) as task:
        learn(task, run, tmp_path / "with")
        assert all(torch.equal(value, expected[key]) for key, value in state(task).items())
        metrics = task.validate(6)
    assert set(metrics) == {"loss", "loss/text", "loss/ctc", "loss/emotion", "byte_error_rate", "emotion_accuracy"}
    assert metrics["byte_error_rate"] > 0.5  # an untrained head
    assert 0 <= metrics["emotion_accuracy"] <= 1
    alone = losses_of(task._engine.objective, samples, vocabulary)
    assert metrics["loss/emotion"] == pytest.approx(alone["emotion"] / 2, rel=1e-5)


def test_losses_without_labels_are_not_reported(
    tmp_path: Path, start: OpenS2S, vocabulary: Vocabulary, samples: ListedSamples
) -> None:
    prompts = PromptBuilder(vocabulary.tokenizer, "training")
    written = ListedSamples([encode(prompts, turn([Text("I am here.")], Text("I hear you.")))] * 8, start.config)
    run = config(STAGE0)
    with task_of(start, run, written, vocabulary, held_out=written) as task:
        for metrics in (*learn(task, run, tmp_path), task.validate(6)):
            assert {name for name in metrics if name.startswith("loss/")} == {"loss/text"}
            assert metrics["loss"] == metrics["loss/text"]
            assert not metrics.keys() & {"byte_error_rate", "emotion_accuracy"}

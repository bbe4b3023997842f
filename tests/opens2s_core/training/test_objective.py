"""The losses of each stage: what is in the graph, what is counted, and what a teacher is."""

import copy
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import Qwen3ForCausalLM

from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.checkpoint.vocabulary import Vocabulary, read_vocabulary
from opens2s_core.config import ConfigError
from opens2s_core.models.lora import LoraSettings
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.prompt import IGNORED
from opens2s_core.training.batch import Batch, CollateConfig, EncodedSample, collate
from opens2s_core.training.distillation import DistillationConfig, kl_sum
from opens2s_core.training.engine import TorchEngine
from opens2s_core.training.loop import train
from opens2s_core.training.objective import Objective
from opens2s_core.training.run import open_run
from opens2s_core.training.stages import STAGE0, STAGE1A, STAGE1B, STAGE2A, STAGE2B, STAGE3, StageConfig
from opens2s_core.training.task import OpenS2STask
from opens2s_core.training.teacher import load_teacher, teacher_directory
from opens2s_core.training.trained import StageRun
from tests.opens2s_core.training.samples import ListedSamples
from tests.opens2s_core.training.test_task import config, known_samples

DISTILLED = replace(STAGE1A, losses={"distillation": 1.0}, distillation=DistillationConfig())
TAUGHT = replace(
    STAGE3,
    losses={"distillation": 1.0, "units": 1.0},
    distillation=DistillationConfig(),
    external_teacher=True,
)
STAGES: dict[str, StageConfig] = {
    "stage0": STAGE0,
    "stage1a": STAGE1A,
    "stage1a by distillation": DISTILLED,
    "stage1b with LoRA and emotions": replace(
        STAGE1B,
        rates={"adapter": 1.0, "llm": 1.0, "emotion_head": 1.0},
        losses={"text": 1.0, "emotion": 0.5},
        lora=LoraSettings(rank=4),
    ),
    "stage2a": STAGE2A,
    "stage2b": STAGE2B,
    "stage3": STAGE3,
    "stage3 by distillation": TAUGHT,
}
KINDS = ["speech to speech", "speech to text", "text to speech", "text to text", "two turns"]


@pytest.fixture(scope="module")
def start(tiny_bundle: Path) -> OpenS2S:
    return load_opens2s(tiny_bundle / OPENS2S)


@pytest.fixture(scope="module")
def vocabulary(tiny_bundle: Path) -> Vocabulary:
    return read_vocabulary(tiny_bundle / OPENS2S)


@pytest.fixture(scope="module")
def samples(vocabulary: Vocabulary) -> dict[str, EncodedSample]:
    return dict(zip(KINDS, known_samples(vocabulary), strict=True))


@pytest.fixture(scope="module")
def teacher(start: OpenS2S) -> Qwen3ForCausalLM:
    """Another LLM of the same tokenizer, twice as deep, with spare rows."""
    config = copy.deepcopy(start.config.llm)
    config.num_hidden_layers, config.vocab_size, config.layer_types = 2, config.vocab_size + 7, ["full_attention"] * 2
    torch.manual_seed(3)
    return Qwen3ForCausalLM(config)


def objective(start: OpenS2S, stage: StageConfig, teacher: Qwen3ForCausalLM | None = None) -> Objective:
    other = copy.deepcopy(teacher) if stage.external_teacher else None
    return Objective(copy.deepcopy(start), stage, seed=0, teacher=other)


def batch_of(start: OpenS2S, stage: StageConfig, vocabulary: Vocabulary, samples: list[EncodedSample]) -> Batch:
    settings = CollateConfig(reply_layout=stage.reply_layout, teacher=stage.distillation is not None)
    return collate(samples, start.config, vocabulary, settings)


@pytest.mark.parametrize("kind", ["nothing", *KINDS])
@pytest.mark.parametrize("name", STAGES)
def test_every_trained_parameter_is_in_the_graph_of_every_batch(
    start: OpenS2S,
    vocabulary: Vocabulary,
    samples: dict[str, EncodedSample],
    teacher: Qwen3ForCausalLM,
    name: str,
    kind: str,
) -> None:
    stage = STAGES[name]
    module = objective(start, stage, teacher)
    sums = module(batch_of(start, stage, vocabulary, [samples[kind]] if kind in samples else []))
    assert sums.keys() == stage.losses.keys()
    torch.stack(list(sums.values())).sum().backward()
    trained = {key: p for key, p in module.named_parameters() if p.requires_grad}
    assert [key for key, p in trained.items() if p.grad is None] == []
    assert all(bool(p.grad.isfinite().all()) for p in trained.values() if p.grad is not None)
    assert [key for key, p in module.named_parameters() if not p.requires_grad and p.grad is not None] == []
    if kind == "nothing":
        assert all(value.item() == 0 for value in sums.values())
        assert all(not p.grad.any() for p in trained.values() if p.grad is not None)


def test_the_counts_are_those_of_the_samples(
    start: OpenS2S, vocabulary: Vocabulary, samples: dict[str, EncodedSample]
) -> None:
    learned = {kind: sum(label != IGNORED for label in sample.labels) for kind, sample in samples.items()}
    units = sum(len(reply) + 1 for sample in samples.values() for reply in sample.units)
    with_transcript = ["speech to speech", "speech to text"]
    expected = {
        "stage0": {
            "text": learned["text to speech"] + learned["text to text"],
            "ctc": len("I am here.") * 2,
            "emotion": 2,
        },
        "stage1a": {"text": sum(learned.values())},
        "stage2a": {"units": units},
        "stage3": {"text": sum(learned.values()), "units": units},
        # The two turns have no text in place of their clips.
        "stage1a by distillation": {
            "distillation": sum(learned[kind] for kind in [*with_transcript, "text to speech", "text to text"])
        },
    }
    for name, counts in expected.items():
        batch = batch_of(start, STAGES[name], vocabulary, list(samples.values()))
        assert objective(start, STAGES[name]).counts(batch) == counts, name


def test_written_text_alone_counts_in_stage0(
    start: OpenS2S, vocabulary: Vocabulary, samples: dict[str, EncodedSample]
) -> None:
    module = objective(start, STAGE0).eval()
    written = [samples["text to text"], samples["text to speech"]]
    both = module(batch_of(start, STAGE0, vocabulary, [samples["speech to text"], *written, samples["two turns"]]))
    alone = module(batch_of(start, STAGE0, vocabulary, written))
    assert float(both["text"]) == pytest.approx(float(alone["text"]), rel=1e-5)
    assert float(alone["ctc"]) == 0
    assert float(both["ctc"]) > 0


def test_the_llm_is_its_own_teacher_without_its_lora(
    start: OpenS2S, vocabulary: Vocabulary, samples: dict[str, EncodedSample]
) -> None:
    stage = replace(DISTILLED, rates={"adapter": 1.0, "llm": 1.0}, lora=LoraSettings(rank=4))
    written = batch_of(start, stage, vocabulary, [samples["text to text"]])
    module = objective(start, stage)
    assert float(module(written)["distillation"]) == pytest.approx(0, abs=1e-5)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if ".lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(1))
    assert float(module(written)["distillation"]) > 1e-2


def test_another_teacher_gives_its_own_distributions(
    start: OpenS2S, vocabulary: Vocabulary, samples: dict[str, EncodedSample], teacher: Qwen3ForCausalLM
) -> None:
    sample = samples["text to text"]
    loss = objective(start, TAUGHT, teacher)(batch_of(start, TAUGHT, vocabulary, [sample]))["distillation"]

    def logits(llm: Qwen3ForCausalLM) -> Tensor:
        predicting = [i for i, label in enumerate(sample.labels[1:]) if label != IGNORED]
        every: Tensor = llm(torch.tensor([sample.input_ids])).logits
        return every[0, predicting, : start.config.llm.vocab_size]

    assert float(loss) == pytest.approx(float(kl_sum(logits(teacher), logits(start.thinker.llm_model))), rel=1e-4)
    # What the teacher reads in place of a clip are the words.
    spoken = samples["speech to text"]
    read = batch_of(start, TAUGHT, vocabulary, [spoken]).teacher
    assert read is not None
    assert read.input_ids.tolist() == spoken.teacher_ids


def test_another_teacher_is_no_part_of_what_is_trained_or_saved(start: OpenS2S, teacher: Qwen3ForCausalLM) -> None:
    own = copy.deepcopy(teacher)
    module = Objective(copy.deepcopy(start), TAUGHT, seed=0, teacher=own)
    assert module.state_dict().keys() == objective(start, STAGE3).state_dict().keys()
    theirs = {id(parameter) for parameter in own.parameters()}
    assert not theirs & {id(parameter) for parameter in module.parameters()}
    grouped = [parameter for group in module.parameter_groups(0.0) for parameter in group["params"]]
    assert not theirs & {id(parameter) for parameter in grouped}
    assert not any(parameter.requires_grad for parameter in own.parameters())
    module.train()
    assert not own.training
    module.to(torch.bfloat16)
    assert own.dtype == torch.bfloat16


def test_a_teacher_and_its_stage_belong_together(
    start: OpenS2S, vocabulary: Vocabulary, samples: dict[str, EncodedSample], teacher: Qwen3ForCausalLM
) -> None:
    with pytest.raises(ConfigError, match="expected no teacher, external_teacher is False"):
        Objective(start, DISTILLED, seed=0, teacher=teacher)
    without = Objective(copy.deepcopy(start), TAUGHT, seed=0)
    with pytest.raises(ConfigError, match="expected a teacher, external_teacher is True"):
        without(batch_of(start, TAUGHT, vocabulary, [samples["text to text"]]))
    with pytest.raises(ConfigError, match="a teacher needs distillation"):
        replace(STAGE3, external_teacher=True)
    with pytest.raises(ConfigError, match="its own teacher has to be frozen"):
        replace(TAUGHT, external_teacher=False)


def test_a_run_with_another_teacher_is_exported_without_it(
    tmp_path: Path,
    tiny_bundle: Path,
    start: OpenS2S,
    vocabulary: Vocabulary,
    samples: dict[str, EncodedSample],
    teacher: Qwen3ForCausalLM,
) -> None:
    run, settings = open_run(tmp_path, {}), config(TAUGHT, steps=2)
    module = objective(start, TAUGHT, teacher)
    engine = TorchEngine(module, weight_decay=0.0, max_grad_norm=1.0)
    listed = ListedSamples(list(samples.values()), start.config)
    with closing(OpenS2STask(engine, settings, listed, vocabulary)) as task:
        train(task, settings.run, run)
    exported = StageRun(run=run, stage=TAUGHT, seed=0, units_per_token=None).load(tiny_bundle).state_dict()
    assert exported.keys() == start.state_dict().keys()
    assert all(value.equal(module.state_dict()[f"model.{name}"]) for name, value in exported.items())


def test_a_teacher_is_a_qwen3_or_the_llm_of_a_bundle(
    tmp_path: Path, tiny_bundle: Path, start: OpenS2S, vocabulary: Vocabulary, teacher: Qwen3ForCausalLM
) -> None:
    teacher.save_pretrained(tmp_path)
    vocabulary.tokenizer.save_pretrained(tmp_path)
    of_bundle = load_teacher(tiny_bundle, vocabulary.tokenizer)
    assert teacher_directory(tiny_bundle) == tiny_bundle / OPENS2S
    same = load_teacher(tmp_path, vocabulary.tokenizer, torch.bfloat16)
    assert same.dtype == torch.bfloat16
    for loaded, expected in ((of_bundle, start.thinker.llm_model), (same, copy.deepcopy(teacher).bfloat16())):
        assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in expected.state_dict().items())
        assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_teacher_of_another_tokenizer_is_refused(
    tmp_path: Path, tiny_bundle: Path, vocabulary: Vocabulary, teacher: Qwen3ForCausalLM
) -> None:
    small = copy.deepcopy(teacher)
    small.resize_token_embeddings(20)
    small.save_pretrained(tmp_path / "small")
    vocabulary.tokenizer.save_pretrained(tmp_path / "small")
    with pytest.raises(CheckpointError, match=r"small: expected a row for each of the student's \d+ tokens, got 20"):
        load_teacher(tmp_path / "small", vocabulary.tokenizer)
    teacher.save_pretrained(tmp_path / "other")
    vocabulary.tokenizer.save_pretrained(tmp_path / "other")
    path = tmp_path / "other" / "tokenizer.json"
    path.write_text(path.read_text().replace("<|im_tts_start|>", "<|another|>"))
    with pytest.raises(CheckpointError, match=r"other: expected the student's tokenizer, .*'<\|im_tts_start\|>'"):
        load_teacher(tmp_path / "other", vocabulary.tokenizer)

"""All training stages on Ray Train, from speech made on the spot to a model that answers, each from the last export."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data_pipeline.corpora.instructions import Instructions
from data_pipeline.corpora.speech import Speech
from data_pipeline.dialogues.reading import read_dialogues
from data_pipeline.speech_corpus.config import SentenceCounts, SpeechCorpusConfig
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.inference.messages import AudioChunk, ReplyRequest, Sampling
from opens2s_core.inference.pipeline import Pipeline, reply_text
from opens2s_core.models.lora import LoraSettings
from opens2s_core.prompt import Audio, Message
from opens2s_core.training.batch import load_clip
from opens2s_core.training.distillation import DistillationConfig
from opens2s_core.training.folder import Folder
from opens2s_core.training.from_scratch import ScratchConfig, TransformerSize
from opens2s_core.training.loop import RunConfig
from opens2s_core.training.metrics import read_metrics
from opens2s_core.training.plan import PlanConfig
from opens2s_core.training.run import Run
from opens2s_core.training.stages import STAGE0, STAGE1A, STAGE1B, STAGE2A, STAGE2B, STAGE3, StageConfig
from opens2s_core.training.task import TrainConfig
from ray_jobs import data_recipes
from ray_jobs.build_dialogues import build_dialogues
from ray_jobs.build_speech import build_speech
from ray_jobs.dialogue_recipes import smoke
from ray_jobs.init_model import init_model
from ray_jobs.prepare_data import prepare_data
from ray_jobs.speech_recipes import speech_tiny
from ray_jobs.train import train
from ray_jobs.train_recipes import WorkersConfig
from tests.data_pipeline.preparation.model_server import model_server

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1800)]

TURNS, SENTENCES, STEPS = 12, 24, 16
_LM = TransformerSize(width=64, layers=2, heads=4, ffn=128)
SCRATCH = ScratchConfig(audio_encoder=TransformerSize(width=32, layers=2, heads=4, ffn=64), llm=_LM, speech_decoder=_LM)
PREFIXES = {
    "audio_encoder": "thinker.audio_encoder_model.",
    "adapter": "thinker.audio_adapter.",
    "llm": "thinker.llm_model.",
    "projection": "speech_decoder.ll",  # llm2tts and llm_ln
    "speech_decoder": "speech_decoder.tts_lm_model.",
}
DISTILLED = replace(
    STAGE1A, losses={"distillation": 1.0}, distillation=DistillationConfig(loss="rlkd", rank_base="js", top_k=5)
)
WITH_LORA = replace(
    STAGE1B,
    rates={"adapter": 1.0, "llm": 1.0, "emotion_head": 1.0},
    losses={"text": 1.0, "emotion": 0.5},
    lora=LoraSettings(rank=4),
)


@dataclass(frozen=True)
class Trained:
    """A finished run: its stage, what it started from, and what it made."""

    stage: StageConfig
    start: Path
    run: Path

    @property
    def export(self) -> Path:
        return self.run / "export"

    def metrics(self) -> list[dict[str, float]]:
        return read_metrics(Run(Folder.at(str(self.run))))


@pytest.fixture(scope="module")
def workspace(ray_local: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpora, an untrained model, and the samples of each task."""
    path = tmp_path_factory.mktemp("stages")
    dialogues = smoke()
    texts = replace(dialogues.texts, empathetic=TURNS, shard_rows=6)
    build_dialogues(replace(dialogues, texts=texts), str(path / "dialogues"))
    speech = SpeechCorpusConfig(
        reply_voice="espeak:en-us+f2",
        reply_sentences=SentenceCounts(held_out=1),
        other_voices=speech_tiny().other_voices[:6],
        other_sentences=SentenceCounts(train=SENTENCES),
        shard_utterances=12,
    )
    build_speech(speech, str(path / "speech"))
    init_model(SCRATCH, [f"instructions:{path / 'dialogues'}"], str(path / "start"))
    with model_server() as server:
        for recipe, reader, corpus in (
            ("dialogues", Instructions(), "dialogues"),
            ("transcripts", Speech(), "speech"),
            ("asr", Speech(), "speech"),
            ("ser", Speech(), "speech"),
            ("tts", Instructions(), "dialogues"),
        ):
            config = replace(data_recipes.DATA_RECIPES[recipe](), shard_rows=12)
            generator = server.config if recipe in ("asr", "ser") else None
            root = str(path / corpus)
            report = prepare_data(config, reader, root, str(path / "start"), str(path / "samples" / recipe), generator)
            assert report.rows_out == report.rows_in
    for name, copied in (("empathetic", "dialogues"), ("general", "dialogues"), ("replies_tts", "tts")):
        shutil.copytree(path / "samples" / copied, path / "samples" / name)  # of the mixture stage3
    return path


@dataclass(frozen=True)
class Case:
    """A stage with its data, what it starts from, and its workers. Held-out samples are replied to at the end, which
    takes long where replies are spoken."""

    stage: StageConfig
    data: str
    start: str
    workers: WorkersConfig
    mixture: str | None = None
    held_out: int = 0


ONE, TWO, ZERO3 = WorkersConfig(count=1, zero_stage=0), WorkersConfig(count=2), WorkersConfig(count=2, zero_stage=3)
CASES = {
    "stage0": Case(STAGE0, "", "", TWO, mixture="stage0"),
    "stage1a": Case(STAGE1A, "asr", "stage0", ONE, held_out=2),
    "stage1a by distillation": Case(DISTILLED, "asr", "stage0", TWO),
    "stage1b": Case(STAGE1B, "ser", "stage1a", ONE),
    "stage1b with LoRA and emotions": Case(WITH_LORA, "ser", "stage1a", TWO, held_out=2),
    "stage2a": Case(STAGE2A, "tts", "stage1b", ONE),
    "stage2b": Case(STAGE2B, "tts", "stage2a", ZERO3),
    "stage3": Case(STAGE3, "", "stage2b", TWO, mixture="stage3"),
}


@pytest.fixture(scope="module")
def stages(workspace: Path) -> Mapping[str, Trained]:
    """Each stage from the export of the one before, and two variants of stage 1."""
    runs: dict[str, Trained] = {}
    for name, case in CASES.items():
        config = TrainConfig(
            stage=case.stage,
            run=RunConfig(steps=STEPS, checkpoint_every=STEPS // 2),
            learning_rate=1e-2,
            warmup_steps=2,
            weight_decay=0.0,
            held_out=case.held_out,
            plan=PlanConfig(micro_batches_per_step=2, micro_batch_positions=2048, micro_batch_speech_positions=4096),
        )
        start = runs[case.start].export if case.start else workspace / "start"
        run = workspace / name.replace(" ", "-")
        data = workspace / "samples" / case.data
        export = train(config, case.workers, str(data), str(start), str(run), case.mixture)
        assert export == str(run / "export")
        runs[name] = Trained(case.stage, start, run)
    return runs


@pytest.mark.parametrize("name", CASES)
def test_every_loss_of_a_stage_falls(stages: Mapping[str, Trained], name: str) -> None:
    metrics = stages[name].metrics()
    assert [int(step["step"]) for step in metrics] == list(range(1, STEPS + 1))
    for loss in stages[name].stage.losses:
        key = f"loss/{loss}"
        values = [step[key] for step in metrics if key in step]  # not in a step without its labels
        assert np.mean(values[-4:]) < np.mean(values[:4]), (loss, values)
        if CASES[name].held_out:
            assert metrics[-1][f"validation/loss/{loss}"] > 0


@pytest.mark.parametrize("name", CASES)
def test_the_export_differs_from_the_start_in_what_the_stage_trains(stages: Mapping[str, Trained], name: str) -> None:
    trained = stages[name]
    before, after = (load_opens2s(path / OPENS2S).state_dict() for path in (trained.start, trained.export))
    assert before.keys() == after.keys()
    changed = {key for key, value in after.items() if not torch.equal(value, before[key])}
    parts = [part for part in trained.stage.rates if part in PREFIXES]
    assert all(key.startswith(tuple(PREFIXES[part] for part in parts)) for key in changed)
    for part in parts:
        assert any(key.startswith(PREFIXES[part]) for key in changed), part
    if trained.stage.lora is not None:
        in_llm = {key.split(".")[-2] for key in changed if key.startswith(PREFIXES["llm"])}
        assert in_llm == set(trained.stage.lora.targets)


def test_the_last_export_answers_speech_with_text_and_audio(workspace: Path, stages: Mapping[str, Trained]) -> None:
    (user, *_) = read_dialogues(str(workspace / "dialogues"))[0].messages
    clip = load_clip(user.audio)
    pipeline = Pipeline.load(stages["stage3"].export)

    def reply(seed: int) -> tuple[str, np.ndarray]:
        request = ReplyRequest(
            messages=(Message("user", (Audio(clip),)),),
            text=Sampling(temperature=1.0, max_tokens=16, seed=seed),
            units=Sampling(temperature=1.0, max_tokens=32, seed=seed),
        )
        messages = list(pipeline.reply(request))
        chunks = [message.samples for message in messages if isinstance(message, AudioChunk)]
        return reply_text(messages).strip(), np.concatenate([np.zeros(0, np.float32), *chunks])

    # After so few steps the model may end any single reply at once.
    spoken = [audio for text, audio in map(reply, range(8)) if text and len(audio)]
    assert spoken
    assert all(np.isfinite(audio).all() and np.abs(audio).max() > 0 for audio in spoken)

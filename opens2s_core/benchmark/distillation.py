"""Benchmark of the losses of semantic alignment (stage 1a): cross entropy on continuations, KL, and RLKD.

For each seed a small model starts from nothing. Stage 0 trains its LLM on written turns and its audio encoder on
transcripts. Then the LLM continues every sentence, and each loss trains an adapter, from the same weights, on the same
samples in the same order. Measured is what the LLM does with the speech of other sentences, against what it does with
their transcripts.
"""
# N label positions, V vocabulary

import copy
import re
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import log, sqrt
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm
from transformers import GenerationConfig

from opens2s_core.audio import SAMPLE_RATE, encode_audio
from opens2s_core.benchmark.report import Interval, Measurement
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.checkpoint.vocabulary import Vocabulary, read_vocabulary
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.prompt import Audio, Content, Message, PromptBuilder, Text
from opens2s_core.training.batch import Batch, CollateConfig, EncodedSample, collate
from opens2s_core.training.distillation import DistillationConfig, kl_sum
from opens2s_core.training.engine import TorchEngine
from opens2s_core.training.from_scratch import ScratchConfig, TransformerSize, create_bundle
from opens2s_core.training.loop import RunConfig
from opens2s_core.training.losses import llm_hidden_states
from opens2s_core.training.objective import Objective
from opens2s_core.training.packing import packed_hidden_states
from opens2s_core.training.plan import PlanConfig
from opens2s_core.training.stages import STAGE0, STAGE1A, StageConfig
from opens2s_core.training.task import OpenS2STask, TrainConfig
from opens2s_core.training.voice.corpus import SpeechCorpus
from opens2s_core.voices import SLT

LOSSES: Mapping[str, StageConfig] = {
    "text": STAGE1A,
    "KL": replace(STAGE1A, losses={"distillation": 1.0}, distillation=DistillationConfig(loss="kl")),
    "RLKD": replace(STAGE1A, losses={"distillation": 1.0}, distillation=DistillationConfig(loss="rlkd", top_k=5)),
}
_LM = TransformerSize(width=96, layers=2, heads=4, ffn=256)
_MODEL = ScratchConfig(
    audio_encoder=TransformerSize(width=96, layers=2, heads=4, ffn=256),
    llm=_LM,
    speech_decoder=TransformerSize(width=32, layers=1, heads=2, ffn=64),  # not used
    text_vocabulary=512,
)
_FIRST_STAGE = replace(
    STAGE0, rates={"audio_encoder": 1.0, "llm": 1.0, "ctc_head": 1.0}, losses={"text": 1.0, "ctc": 0.05}
)
_BEFORE = "untrained adapter"
_MAX_NEW_TOKENS = 24
_TOGETHER = 200
"""Sentences in a forward pass."""
_T975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Student's t for a 95 % interval, by degrees of freedom from 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillationBenchmark:
    """``corpus`` is a speech corpus, of whose training sentences ``held_out`` are measured and not trained on."""

    corpus: str
    held_out: int = 100
    seeds: int = 3
    first_steps: int = 600  # of stage 0
    steps: int = 150  # of each loss

    def __post_init__(self) -> None:
        if not 2 <= self.seeds <= len(_T975) + 1:
            raise ValueError(f"seeds: expected 2 to {len(_T975) + 1}, got {self.seeds}")


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the LLM does with speech against what it does with transcripts, on the held-out sentences."""

    text_loss: float  # nats a token of the continuations, given the speech
    teacher_loss: float  # the same, given the transcripts
    kl: float  # from the distributions given transcripts to those given speech, nats a token
    same_token: float  # share of the tokens at which both have the same most likely token


def measure_distillation(config: DistillationBenchmark) -> list[Measurement]:
    """Raises ``ValueError`` for a corpus with too few sentences."""
    corpus = SpeechCorpus(config.corpus, "train")
    if len(corpus) <= config.held_out:
        raise ValueError(f"{config.corpus}: expected more than {config.held_out} sentences, got {len(corpus)}")
    clips = [encode_audio(corpus.waveform(index, SAMPLE_RATE), SAMPLE_RATE) for index in range(len(corpus))]
    texts = [utterance.text for utterance in corpus.utterances]
    results: dict[str, list[Agreement]] = {}
    for seed in tqdm(range(config.seeds), desc="seeds"):
        for name, agreement in _measure_seed(config, texts, clips, seed).items():
            results.setdefault(name, []).append(agreement)
    return [row for name in results for row in _rows(name, results)]


def _measure_seed(
    config: DistillationBenchmark, texts: Sequence[str], clips: Sequence[bytes], seed: int
) -> dict[str, Agreement]:
    order = np.random.default_rng(seed).permutation(len(texts)).tolist()
    own, held_out = order[config.held_out :], order[: config.held_out]
    with tempfile.TemporaryDirectory() as directory:
        create_bundle(replace(_MODEL, seed=seed), texts, SLT, directory)
        model, vocabulary = load_opens2s(Path(directory, OPENS2S)), read_vocabulary(Path(directory, OPENS2S))
    prompts = PromptBuilder(vocabulary.tokenizer, model.config.prompt_style)
    read = [texts[index] for index in own]
    written = [_sample(prompts, Text(text), reply) for text, reply in zip(read, similar_sentences(read), strict=True)]
    spoken = [_sample(prompts, Audio(clips[index]), "", transcript=texts[index]) for index in own]
    _train(model, vocabulary, written + spoken, _FIRST_STAGE, config.first_steps, seed)

    continuations = _continue(model, prompts, texts)
    samples = [
        _with_teacher(prompts, _sample(prompts, Audio(clip), reply), text, reply)
        for clip, text, reply in zip(clips, texts, continuations, strict=True)
    ]
    trained, measured = [samples[index] for index in own], [samples[index] for index in held_out]
    results = {_BEFORE: agreement(model, vocabulary, measured)}
    for name, stage in LOSSES.items():
        aligned = copy.deepcopy(model)
        _train(aligned, vocabulary, trained, stage, config.steps, seed)
        results[name] = agreement(aligned, vocabulary, measured)
    return results


def similar_sentences(texts: Sequence[str]) -> list[str]:
    """For each text the other one that shares the most words with it, where rare words count more."""
    words = [frozenset(re.findall(r"[a-z']+", text.lower())) for text in texts]
    having = Counter(word for one in words for word in one)
    vocabulary = {word: index for index, word in enumerate(sorted(having))}
    weights = np.zeros((len(texts), len(vocabulary)))
    for row, one in zip(weights, words, strict=True):
        for word in one:
            row[vocabulary[word]] = log(len(texts) / having[word])
    shared = weights @ (weights > 0).T / np.sqrt(np.maximum(weights.sum(1), 1e-9))
    np.fill_diagonal(shared, -1)
    return [texts[index] for index in shared.argmax(1)]


class _Samples:
    def __init__(self, samples: Sequence[EncodedSample]) -> None:
        self._samples = samples
        # A clip of three seconds has 38 positions; planning needs no exact numbers.
        self.lengths = [len(sample.input_ids) + 38 * len(sample.audios) for sample in samples]
        self.speech_lengths = [0] * len(samples)

    def __getitem__(self, index: int) -> EncodedSample:
        return self._samples[index]


def _messages(content: Content, reply: str) -> tuple[Message, ...]:
    return Message("user", (content,)), Message("assistant", (Text(reply),))


def _sample(prompts: PromptBuilder, content: Content, reply: str, *, transcript: str = "") -> EncodedSample:
    made = prompts.training_sample(_messages(content, reply))
    return EncodedSample(
        made.input_ids, made.token_types, made.labels, made.audios, units=[], speakers=[], transcript=transcript
    )


def _with_teacher(prompts: PromptBuilder, sample: EncodedSample, text: str, reply: str) -> EncodedSample:
    read = prompts.training_sample(_messages(Text(text), reply))
    return replace(sample, teacher_ids=read.input_ids, teacher_labels=read.labels)


def _train(
    model: OpenS2S, vocabulary: Vocabulary, samples: Sequence[EncodedSample], stage: StageConfig, steps: int, seed: int
) -> None:
    config = TrainConfig(
        stage=stage,
        run=RunConfig(steps=steps),
        learning_rate=3e-3,
        warmup_steps=50,
        plan=PlanConfig(micro_batches_per_step=1, micro_batch_positions=1024, seed=seed),
    )
    engine = TorchEngine(
        Objective(model.requires_grad_(True), stage, seed=seed),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
    )
    with closing(OpenS2STask(engine, config, _Samples(samples), vocabulary)) as task:
        for number in (bar := tqdm(range(steps), desc=f"{stage.name} {'+'.join(stage.losses)}", leave=False)):
            metrics = task.step(number)
            bar.set_postfix({name: f"{value:.3f}" for name, value in metrics.items() if name.startswith("loss")})


@torch.no_grad()
def _continue(model: OpenS2S, prompts: PromptBuilder, texts: Sequence[str]) -> list[str]:
    """The LLM's greedy continuation of each text."""
    llm, tokenizer = model.thinker.llm_model.eval(), prompts.tokenizer
    end = tokenizer.eos_token_id
    settings = GenerationConfig(
        do_sample=False, max_new_tokens=_MAX_NEW_TOKENS, eos_token_id=end, pad_token_id=tokenizer.pad_token_id
    )
    continuations: list[str] = []
    for start in range(0, len(texts), _TOGETHER):
        some = texts[start : start + _TOGETHER]
        ids = [prompts.prompt([Message("user", (Text(text),))], speak=False).input_ids for text in some]
        longest = max(map(len, ids))
        padded = torch.tensor([[tokenizer.pad_token_id] * (longest - len(row)) + row for row in ids])
        known = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in ids])
        made = llm.generate(inputs=padded, attention_mask=known, generation_config=settings)
        continuations += tokenizer.batch_decode(made[:, longest:], skip_special_tokens=True)
    return continuations


@torch.no_grad()
def agreement(model: OpenS2S, vocabulary: Vocabulary, samples: Sequence[EncodedSample]) -> Agreement:
    model.eval()
    sums = torch.zeros(4, dtype=torch.float64)
    count = 0
    for start in range(0, len(samples), _TOGETHER):
        batch = collate(samples[start : start + _TOGETHER], model.config, vocabulary, CollateConfig(teacher=True))
        student, teacher, labels = _logits(model, batch)
        count += len(labels)
        sums += torch.stack(
            [
                functional.cross_entropy(student, labels, reduction="sum").double(),
                functional.cross_entropy(teacher, labels, reduction="sum").double(),
                kl_sum(teacher, student).double(),
                (student.argmax(-1) == teacher.argmax(-1)).sum().double(),
            ]
        )
    return Agreement(*(sums / count).tolist())


def _logits(model: OpenS2S, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """The logits (N, V) given speech and given transcripts, and the labels (N,)."""
    thinker, read = model.thinker, batch.teacher
    assert read is not None
    audio = thinker.audio_adapter.adapt(thinker.audio_encoder_model.encode(batch.audio))
    hidden = llm_hidden_states(thinker, batch, audio).index_select(0, read.student)
    llm = thinker.llm_model
    states = packed_hidden_states(llm.model, llm.get_input_embeddings()(read.input_ids), read.packing)
    labels = batch.labels.index_select(0, read.student + 1)
    return llm.lm_head(hidden), llm.lm_head(states.index_select(0, read.predicts)), labels


_MEASURED: Mapping[str, tuple[Callable[[Agreement], float], str]] = {
    "loss on continuations": (lambda found: found.text_loss, "nats/token"),
    "KL from transcripts to speech": (lambda found: found.kl, "nats/token"),
    "same most likely token": (lambda found: 100 * found.same_token, "%"),
}


def _rows(name: str, results: Mapping[str, Sequence[Agreement]]) -> list[Measurement]:
    """The means over the seeds, and those of the differences from the cross entropy of the same seed."""
    rows = []
    if name == _BEFORE:
        of_teacher = [found.teacher_loss for found in results[name]]
        rows.append(_mean("transcripts: loss on continuations", of_teacher, "nats/token"))
    rows += [_mean(f"{name}: {what}", [*map(of, results[name])], unit) for what, (of, unit) in _MEASURED.items()]
    if name in LOSSES and name != "text":
        pairs = list(zip(results[name], results["text"], strict=True))
        rows += [
            _mean(f"{name} less text: {what}", [of(own) - of(text) for own, text in pairs], unit)
            for what, (of, unit) in _MEASURED.items()
        ]
    return rows


def _mean(name: str, values: Sequence[float], unit: str) -> Measurement:
    return Measurement(name=name, value=statistics.fmean(values), unit=unit, interval=mean_interval(values))


def mean_interval(values: Sequence[float]) -> Interval:
    """The 95 % interval of the mean of 2 to 10 values, by Student's t."""
    mean = statistics.fmean(values)
    half = _T975[len(values) - 2] * statistics.stdev(values) / sqrt(len(values))
    return mean - half, mean + half

"""The utterances of a speech corpus before they are spoken."""

import random
from dataclasses import dataclass

from data_pipeline.dataset import Shard, plan_shards
from data_pipeline.records import Emotion
from data_pipeline.speech_corpus.config import SpeechCorpusConfig
from data_pipeline.synthesis.sentences.held_out import HELD_OUT_SENTENCES
from data_pipeline.synthesis.sentences.sampling import write_sentences
from data_pipeline.synthesis.speakers.prosody import EMOTION_RANGES
from opens2s_core.config import config_to_dict
from opens2s_core.training.voice.corpus import Split

VERSION = 4
"""Incremented when the same configuration gives other utterances or another report."""

EMOTIONS: tuple[Emotion, ...] = tuple(EMOTION_RANGES)
"""That the embedded voices express."""
_EVEN = 0
"""Seed of the one prosody of the reply voice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedSentence:
    """``tone`` and ``seed`` are those of :class:`~data_pipeline.synthesis.protocols.SpeechRequest`."""

    id: str
    text: str
    voice: str
    emotion: Emotion
    tone: str = ""
    seed: int
    split: Split


def plan_corpus(config: SpeechCorpusConfig) -> list[Shard]:
    """All sentences of the corpus, in shards."""
    rows = [config_to_dict(sentence) for sentence in plan_sentences(config)]
    batches = [rows[i : i + config.shard_utterances] for i in range(0, len(rows), config.shard_utterances)]
    return plan_shards(batches, made_by={"seed": config.seed, "version": VERSION})


def plan_sentences(config: SpeechCorpusConfig) -> list[PlannedSentence]:
    """Of training first; of each split those of the reply voice first."""
    reply, other = config.reply_sentences, config.other_sentences
    written = write_sentences(reply.train + other.train, config.seed)
    texts: dict[Split, tuple[tuple[str, ...], tuple[str, ...]]] = {
        "train": (written[: reply.train], written[reply.train :]),
        "held_out": (HELD_OUT_SENTENCES[: reply.held_out], HELD_OUT_SENTENCES[: other.held_out]),
    }
    planned: list[PlannedSentence] = []
    for split, (of_reply_voice, of_others) in texts.items():
        for text in of_reply_voice:
            # One prosody: the units of the voice then depend on the words alone.
            planned.append(
                PlannedSentence(
                    id=_id(len(planned)),
                    text=text,
                    voice=config.reply_voice,
                    emotion="neutral",
                    tone="neutral",
                    seed=_EVEN,
                    split=split,
                )
            )
        for number, text in enumerate(of_others):
            # Voices take turns; in each round, a voice has its next emotion.
            turn, index = divmod(number, len(config.other_voices))
            planned.append(
                PlannedSentence(
                    id=_id(len(planned)),
                    text=text,
                    voice=config.other_voices[index],
                    emotion=EMOTIONS[(turn + index) % len(EMOTIONS)],
                    seed=random.Random(f"{config.seed} {split} {number}").getrandbits(31),
                    split=split,
                )
            )
    return planned


def _id(number: int) -> str:
    return f"utterance-{number:06d}"

"""What a speech corpus consists of."""

from dataclasses import dataclass

from data_pipeline.synthesis.sentences.held_out import HELD_OUT_SENTENCES
from data_pipeline.synthesis.speakers.embedded import EMBEDDED_VOICES


@dataclass(frozen=True, kw_only=True, slots=True)
class SentenceCounts:
    """Sentences to train on, and sentences of :data:`~data_pipeline.synthesis.sentences.held_out.HELD_OUT_SENTENCES`,
    from the first on."""

    train: int = 0
    held_out: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechCorpusConfig:
    """``reply_voice`` speaks its sentences with one prosody; ``other_voices`` take turns with theirs, in each emotion.

    Voices have the names of :data:`~data_pipeline.synthesis.speakers.embedded.EMBEDDED_VOICES`, such as ``flite:slt``,
    ``piper:joe`` and ``espeak:en-us+f2``. No sentence of training is spoken twice.
    """

    reply_voice: str = "flite:slt"
    reply_sentences: SentenceCounts
    other_voices: tuple[str, ...] = ()
    other_sentences: SentenceCounts = SentenceCounts()
    seed: int = 0
    shard_utterances: int = 64

    def __post_init__(self) -> None:
        for name in self.voices:
            if name not in EMBEDDED_VOICES or EMBEDDED_VOICES[name].language != "en":
                raise ValueError(f"unknown voice {name!r}: expected an English one of EMBEDDED_VOICES")
        if len(set(self.voices)) < len(self.voices):
            raise ValueError(f"expected different voices, got {', '.join(self.voices)}")
        for counts in (self.reply_sentences, self.other_sentences):
            if counts.train < 0 or not 0 <= counts.held_out <= len(HELD_OUT_SENTENCES):
                raise ValueError(
                    f"expected at least 0 sentences and at most {len(HELD_OUT_SENTENCES)} held out, got {counts}"
                )
        if self.reply_sentences.held_out < 1 or self.shard_utterances < 1:
            raise ValueError(
                "expected at least one held-out sentence of the reply voice and one utterance per shard, got "
                f"{self.reply_sentences} and shard_utterances={self.shard_utterances}"
            )
        if self.other_sentences != SentenceCounts() and not self.other_voices:
            raise ValueError(f"expected other voices for {self.other_sentences}, got none")

    @property
    def voices(self) -> tuple[str, ...]:
        return (self.reply_voice, *self.other_voices)

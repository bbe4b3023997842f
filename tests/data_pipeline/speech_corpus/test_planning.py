import json
from collections import Counter

from data_pipeline.speech_corpus.config import SentenceCounts, SpeechCorpusConfig
from data_pipeline.speech_corpus.planning import EMOTIONS, plan_corpus, plan_sentences
from data_pipeline.synthesis.sentences.held_out import HELD_OUT_SENTENCES
from data_pipeline.synthesis.sentences.sampling import write_sentences
from opens2s_core.config import config_to_dict

OTHERS = ("espeak:en-us+f1", "espeak:en-us+m1", "flite:awb", "espeak:en-us+m2")
CONFIG = SpeechCorpusConfig(
    reply_sentences=SentenceCounts(train=20, held_out=6),
    other_voices=OTHERS,
    other_sentences=SentenceCounts(train=77, held_out=4),
    shard_utterances=8,
)


def texts(split: str, *, of_reply_voice: bool) -> list[str]:
    planned = plan_sentences(CONFIG)
    return [each.text for each in planned if each.split == split and (each.voice == "flite:slt") == of_reply_voice]


def test_each_sentence_of_training_is_spoken_once_and_each_voice_holds_out_the_same_ones() -> None:
    train = list(write_sentences(97, seed=0))
    assert texts("train", of_reply_voice=True) == train[:20]
    assert texts("train", of_reply_voice=False) == train[20:]
    assert texts("held_out", of_reply_voice=True) == list(HELD_OUT_SENTENCES[:6])
    assert texts("held_out", of_reply_voice=False) == list(HELD_OUT_SENTENCES[:4])


def test_shards_have_all_sentences_in_order() -> None:
    shards = [json.loads(shard.inputs) for shard in plan_corpus(CONFIG)]
    assert [len(shard) for shard in shards] == [8] * 13 + [3]
    rows = [row for shard in shards for row in shard]
    assert rows == [config_to_dict(each) for each in plan_sentences(CONFIG)]
    assert [row["id"] for row in rows] == [f"utterance-{number:06d}" for number in range(107)]


def test_the_reply_voice_has_one_prosody_and_the_others_each_emotion_equally_often() -> None:
    config = SpeechCorpusConfig(
        reply_sentences=SentenceCounts(train=9, held_out=1),
        other_voices=OTHERS,
        other_sentences=SentenceCounts(train=6 * len(OTHERS)),
    )
    planned = plan_sentences(config)
    assert len({(each.emotion, each.tone, each.seed) for each in planned if each.voice == "flite:slt"}) == 1
    others = [each for each in planned if each.voice != "flite:slt"]
    assert Counter((each.voice, each.emotion) for each in others) == Counter((v, e) for v in OTHERS for e in EMOTIONS)
    assert len({each.seed for each in others}) == len(others)
    assert {each.tone for each in others} == {""}


def test_the_same_configuration_gives_the_same_fingerprints_and_another_seed_others() -> None:
    fingerprints = [shard.fingerprint for shard in plan_corpus(CONFIG)]
    assert fingerprints == [shard.fingerprint for shard in plan_corpus(CONFIG)]
    other = SpeechCorpusConfig(
        reply_sentences=CONFIG.reply_sentences,
        other_voices=OTHERS,
        other_sentences=CONFIG.other_sentences,
        shard_utterances=8,
        seed=1,
    )
    assert not {shard.fingerprint for shard in plan_corpus(other)} & set(fingerprints)


def test_a_corpus_may_have_one_voice() -> None:
    config = SpeechCorpusConfig(reply_voice="piper:joe", reply_sentences=SentenceCounts(train=3, held_out=2))
    assert [each.voice for each in plan_sentences(config)] == ["piper:joe"] * 5

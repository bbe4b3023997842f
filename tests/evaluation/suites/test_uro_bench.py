"""URO-Bench in its published layout, with scores that were computed by hand."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.synthesis.protocols import Speech
from evaluation.items import Answer, Reply
from evaluation.scores import Suite
from evaluation.suites import SUITES, open_suite
from evaluation.suites.uro_bench import open_uro
from evaluation.suites.uro_sets import URO_SETS
from opens2s_core.audio import decode_audio
from tests.evaluation.suites.asking import FLAC, WAV, judged, spoken_answer, summed

pytest.importorskip("whisper_normalizer", reason="needs the extra evaluation: whisper-normalizer")
pytest.importorskip("cn2an", reason="needs the extra evaluation: cn2an")
pytest.importorskip("zhon", reason="needs the extra evaluation: zhon")


class Scorer:
    """A classifier that is 80 % sure of ``sad`` and 5 % of all others."""

    name = "fake"

    def probabilities(self, speech: Speech) -> dict[str, float]:
        assert speech.rate == 16_000
        assert len(speech.samples) == 3200
        return {"sad": 0.8, "happy": 0.05, "angry": 0.15}


def row(number: int, **columns: object) -> dict:
    return {
        "id": number,
        "source_wav": f"audio/{number}.wav",
        "source_text": f"question {number}",
        "target_text": f"reference {number}",
        "language": "en",
        **columns,
    }


def write(root: Path, name: str, rows: list[dict]) -> Path:
    """The set of the suite ``name`` below ``root``; returns its test.jsonl."""
    uro_set = URO_SETS[name]
    directory = root / uro_set.track / uro_set.name
    for entry in rows:
        for turn in entry.get("dialogue", [entry]):
            clip = directory / turn["source_wav"]
            clip.parent.mkdir(parents=True, exist_ok=True)
            clip.write_bytes(WAV)
    path = directory / "test.jsonl"
    path.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in rows), encoding="utf-8")
    return path


def score(suite: Suite, data: Path, answered: list[tuple[tuple[str, str], list[float]]]) -> dict[str, float]:
    """The metrics of items of one turn, from text, transcript and the judge's values of each."""
    scores = []
    for item, (reply, values) in zip(suite.items(str(data)), answered, strict=True):
        answer = spoken_answer(item, reply)
        questions = suite.questions(item, answer)
        scores += suite.scores(item, answer, judged(questions, values) if questions else [])
    return summed(suite, scores)


def test_there_is_a_suite_for_each_of_the_40_sets() -> None:
    assert len(URO_SETS) == 40
    assert set(URO_SETS) <= set(SUITES)


def test_the_root_the_directory_of_the_set_and_the_file_can_be_read(tmp_path: Path) -> None:
    rows = [row(7, emotion="sad", target_text=["Oh no.", "I am sorry."]), row(9, emotion="happy")]
    file = write(tmp_path, "uro-underemotion-en", rows)
    suite = open_suite("uro-underemotion-en")
    first, second = items = suite.items(str(tmp_path))
    assert (first.id, first.turns[0].text, first.turns[0].audio) == ("0000", "question 7", WAV)
    assert (first.language, first.category, first.references) == ("en", "sad", ("Oh no. / I am sorry.",))
    assert second.references == ("reference 9",)
    assert suite.items(str(file.parent)) == items
    assert suite.items(str(file)) == items


def test_underemotion_is_20_times_the_mean_grade_and_empty_transcripts_are_0(tmp_path: Path) -> None:
    write(tmp_path, "uro-underemotion-en", [row(n, emotion="sad") for n in range(4)])
    found = score(
        open_suite("uro-underemotion-en"),
        tmp_path,
        [
            (("I am sorry", "I am sorry"), [4, 5, 4]),
            (("I am", "  "), [5, 5, 5]),
            (("so sad", "so bad"), [1, 3]),  # one of three samples had no value
            (("well then", "well then"), []),  # the judge failed: no score
        ],
    )
    # Grades 13/3, 0 and 2 of three items; errors of 0, 2 of 2, 1 of 2, and 0 words.
    assert found == pytest.approx({"score": 20 * (13 / 3 + 0 + 2) / 3, "asr_wer": 100 * (0 + 1 + 0.5 + 0) / 4})


def test_the_judge_sees_transcript_emotion_and_references_and_is_not_asked_about_empty_replies(tmp_path: Path) -> None:
    write(tmp_path, "uro-underemotion-zh", [row(0, emotion="生气", target_text=["别生气", "怎么了"])])
    suite = open_suite("uro-underemotion-zh")
    (item,) = suite.items(str(tmp_path))
    (question,) = suite.questions(item, spoken_answer(item, ("text", "transcript")))
    content = question.messages[0]["content"]
    for shown in ("question 0", "生气", "别生气 / 怎么了", "Assistant: transcript"):
        assert shown in content
    assert (question.samples, question.temperature, question.top_p, question.scale) == (3, 0.5, 0.95, "1-5")
    assert suite.questions(item, spoken_answer(item, ("text", " "))) == []
    assert suite.questions(item, Answer(item=item.id, replies=(Reply(text="text"),))) == []


def test_speech_without_a_transcript_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "uro-alpacaeval", [row(0)])
    suite = open_suite("uro-alpacaeval")
    (item,) = suite.items(str(tmp_path))
    with pytest.raises(ValueError, match="item 0000: expected a transcript"):
        suite.questions(item, Answer(item=item.id, replies=(Reply(text="a", audio=FLAC),)))


def test_genemotion_is_probability_times_correct_words(tmp_path: Path) -> None:
    rows = [
        row(n, emotion=emotion, target_text="I lost my two dogs")
        for n, emotion in enumerate(["sad", "sad", "happy", "sad"])
    ]
    write(tmp_path, "uro-genemotion-en", rows)
    suite = open_uro("uro-genemotion-en", classifier=Scorer())
    found = score(
        suite,
        tmp_path,
        [
            (("I lost my two dogs", "I lost my 2 dogs!"), []),  # no error after normalisation
            (("I lost my two dogs", "I lost my cat"), []),  # 1 substitution, 1 deletion, of 4 words transcribed
            (("I lost my two dogs", "I lost my two dogs"), []),
            (("I lost my two dogs", "one"), []),  # 5 errors of 1 word count as 1
        ],
    )
    assert found["score"] == pytest.approx(100 * (0.8 * 1 + 0.8 * 0.5 + 0.05 * 1 + 0) / 4)
    assert found["emotion"] == pytest.approx(100 * (0.8 + 0.8 + 0.05 + 0.8) / 4)
    # Against the text of the reply: 0, 2, 0 and 5 of 5 words.
    assert found["asr_wer"] == pytest.approx(100 * (0 + 0.4 + 0 + 1) / 4)


def test_genemotion_of_chinese_counts_characters(tmp_path: Path) -> None:
    write(tmp_path, "uro-genemotion-zh", [row(0, emotion="sad", target_text="我有3只狗，真的。")])
    suite = open_uro("uro-genemotion-zh", classifier=Scorer())
    found = score(suite, tmp_path, [(("我有三只狗真的", "我有三只猫真的"), [])])
    assert found["score"] == pytest.approx(100 * 0.8 * (1 - 1 / 7))


def test_genemotion_without_speech_is_0(tmp_path: Path) -> None:
    write(tmp_path, "uro-genemotion-en", [row(0, emotion="sad")])
    suite = open_uro("uro-genemotion-en", classifier=Scorer())
    (item,) = suite.items(str(tmp_path))
    answer = Answer(item=item.id, replies=(Reply(text="reference 0"),))
    assert summed(suite, suite.scores(item, answer, []))["score"] == 0.0


def test_genemotion_needs_a_classifier_that_knows_the_emotions(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="uro-genemotion-zh needs a classifier of emotions"):
        open_suite("uro-genemotion-zh")
    write(tmp_path, "uro-genemotion-en", [row(0, emotion="bored")])
    suite = open_uro("uro-genemotion-en", classifier=Scorer())
    (item,) = suite.items(str(tmp_path))
    with pytest.raises(ValueError, match="item 0000: fake does not know 'bored', it knows sad, happy, angry"):
        suite.scores(item, spoken_answer(item, ("text", "transcript")), [])


def test_questions_with_one_right_answer_are_judged_yes_or_no(tmp_path: Path) -> None:
    write(tmp_path, "uro-gsm8keval", [row(0, target_text=12), row(1), row(2)])
    suite = open_suite("uro-gsm8keval")
    item = suite.items(str(tmp_path))[0]
    (question,) = suite.questions(item, spoken_answer(item, ("twelve", "twelve")))
    assert question.scale == "yes-no"
    assert "Right answer: 12" in question.messages[0]["content"]
    answered = [(("a", "a"), [1, 1, 0]), (("a", "a"), [0, 0, 0]), (("a", ""), [1, 1, 1])]
    assert score(suite, tmp_path, answered)["score"] == pytest.approx(100 * (2 / 3) / 3)


def test_repetition_counts_replies_with_at_most_half_of_the_words_wrong(tmp_path: Path) -> None:
    write(tmp_path, "uro-repeat", [row(n, target_text="one fine day in May") for n in range(3)])
    replies = ["one fine day in May", "one fine day in June", "no"]
    found = score(open_suite("uro-repeat"), tmp_path, [((text, text), []) for text in replies])
    # Published: 2 of 3 replies, times 1 - the mean of their errors 0 and 1/5.
    assert found["score"] == pytest.approx(100 * (2 / 3) * (1 - 0.1))


def test_multilingual_has_no_word_errors(tmp_path: Path) -> None:
    write(tmp_path, "uro-multilingual", [row(0, requirement="French")])
    suite = open_suite("uro-multilingual")
    (item,) = suite.items(str(tmp_path))
    (question,) = suite.questions(item, spoken_answer(item, ("Bonjour", "Bonjour")))
    assert "Language: French" in question.messages[0]["content"]
    assert score(suite, tmp_path, [(("Bonjour", "Bonjour"), [5, 5, 5])]) == {"score": 100.0}


DIALOGUE = {
    "id": 21,
    "num_round": 2,
    "dialogue": [
        {"round": 0, "source_wav": "audio/21_0.wav", "source_text": "How are you?", "target_text": "Fine."},
        {"round": 1, "source_wav": "audio/21_1.wav", "source_text": "Why?", "target_text": "Sun."},
    ],
}


def test_a_dialogue_is_judged_as_a_whole_even_with_an_empty_reply(tmp_path: Path) -> None:
    write(tmp_path, "uro-mtbencheval-en", [DIALOGUE])
    suite = open_suite("uro-mtbencheval-en")
    (item,) = suite.items(str(tmp_path))
    assert [turn.text for turn in item.turns] == ["How are you?", "Why?"]
    answer = spoken_answer(item, ("very well", "very well"), ("it is sunny", ""))
    (question,) = suite.questions(item, answer)
    assert (
        "Round 1\nUser: How are you?\nAssistant: very well\nExample of a good answer: Fine."
        in (question.messages[0]["content"])
    )
    found = summed(suite, suite.scores(item, answer, judged([question], [2, 3, 4])))
    assert found == pytest.approx({"score": 60.0, "asr_wer": 50.0})


def test_a_published_prompt_for_rounds_can_be_used(tmp_path: Path) -> None:
    write(tmp_path, "uro-mtbencheval-en", [DIALOGUE])
    file = tmp_path / "prompt.txt"
    file.write_text("{question1} {answer1} {reference1} {question2} {answer2} {reference2} {answer3}")
    suite = open_suite("uro-mtbencheval-en", prompt_file=str(file))
    (item,) = suite.items(str(tmp_path))
    (question,) = suite.questions(item, spoken_answer(item, ("a", "A"), ("b", "B")))
    assert question.messages[0]["content"] == "How are you? A Fine. Why? B Sun. {answer3}"


def test_versions_are_recognised_by_their_rows_or_stated(tmp_path: Path) -> None:
    file = write(tmp_path, "uro-underemotion-en", [row(0, emotion="sad")])
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    facts = open_suite("uro-underemotion-en").describe(str(tmp_path), [])
    assert facts["sha256"] == digest
    assert (facts["version"], facts["rows"], facts["published_rows"]) == ("unknown version", 1, 137)
    stated = open_suite("uro-underemotion-en", version="before 2025-08-03")
    assert stated.describe(str(tmp_path), [])["version"] == "before 2025-08-03, as stated"
    for rows, version in ((20, "before 2025-08-03"), (25, "2025-08-03"), (21, "unknown version")):
        write(tmp_path, "uro-safety-zh", [row(n) for n in range(rows)])
        assert open_suite("uro-safety-zh").describe(str(tmp_path), [])["version"] == version
    write(tmp_path, "uro-underemotion-zh", [row(n, emotion="sad") for n in range(79)])
    either = "before 2025-08-03 or 2025-08-03, which have as many rows"
    assert open_suite("uro-underemotion-zh").describe(str(tmp_path), [])["version"] == either


def test_paper_values() -> None:
    paper = {name: open_suite(f"uro-underemotion-{name}").metrics[0].paper["OpenS2S (paper)"] for name in ("en", "zh")}
    assert paper == {"en": 46.90, "zh": 67.68}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": 0', "test.jsonl, row 0: expected a JSON object"),
        ("[]", r"test.jsonl, row 0: expected a JSON object, got \[\]"),
        ('{"source_text": "a", "source_wav": "b.wav"}', "row 0: expected audio .*UnderEmotion-en/b.wav"),
        ('{"source_text": "a", "source_wav": "", "emotion": "sad"}', "row 0: expected audio .*UnderEmotion-en"),
        ('{"source_wav": "b.wav"}', "row 0: expected source_text, got None"),
        ("\n", "expected rows of UnderEmotion-en, found none"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "pro/UnderEmotion-en/test.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        open_suite("uro-underemotion-en").items(str(tmp_path))


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_run_is_written_as_published(tmp_path: Path) -> None:
    write(tmp_path, "uro-underemotion-zh", [row(5, emotion="sad", target_text=["a", "b"]), row(6, emotion="sad")])
    suite = open_suite("uro-underemotion-zh")
    first, second = items = suite.items(str(tmp_path))
    answers = [Answer(item=second.id, error="timeout"), spoken_answer(first, ("好的", "好的吗"))]
    target = suite.write_published(items, answers, tmp_path / "out", "m")  # type: ignore[attr-defined]
    assert target == tmp_path / "out/m/pro/UnderEmotion-zh"
    assert rows_of(target / "question_text.jsonl") == [{"0000": "question 5"}, {"0001": "question 6"}]
    assert rows_of(target / "gt_text.jsonl") == [{"0000": "a / b"}, {"0001": "reference 6"}]
    assert rows_of(target / "pred_text.jsonl") == [{"0000": "好的"}, {"0001": ""}]
    assert rows_of(target / "asr_text.jsonl") == [{"0000": "好的吗"}, {"0001": " "}]
    assert [path.name for path in (target / "audio").iterdir()] == ["0000.wav"]
    written, rate = decode_audio((target / "audio/0000.wav").read_bytes())
    original, original_rate = decode_audio(FLAC)
    assert rate == original_rate
    assert np.array_equal(written, original)


def test_a_run_of_dialogues_is_written_as_published(tmp_path: Path) -> None:
    write(tmp_path, "uro-mtbencheval-en", [DIALOGUE])
    suite = open_suite("uro-mtbencheval-en")
    (item,) = items = suite.items(str(tmp_path))
    answer = spoken_answer(item, ("one", "won"), ("two", ""))
    target = suite.write_published(items, [answer], tmp_path / "out", "m")  # type: ignore[attr-defined]
    first, second = DIALOGUE["dialogue"]
    expected = {**DIALOGUE, "dialogue": [{**first, "output_text": "one"}, {**second, "output_text": "two"}]}
    assert rows_of(target / "output_with_text.jsonl") == [expected]
    expected = {**DIALOGUE, "dialogue": [{**first, "output_text": "won"}, {**second, "output_text": " "}]}
    assert rows_of(target / "asr_text.jsonl") == [expected]
    assert sorted(path.name for path in (target / "21").iterdir()) == ["chat_0.wav", "chat_1.wav"]


@pytest.mark.parametrize("id", ["../../elsewhere", "/tmp/elsewhere", "a/b", "..", "", 1.5, None])
def test_the_id_of_a_dialogue_is_no_path(id: object, tmp_path: Path) -> None:
    dialogue = [{**row(0), "round": 1}, {**row(0), "round": 2}]
    data = write(tmp_path, "uro-mtbencheval-en", [{"id": id, "dialogue": dialogue}])
    with pytest.raises(ValueError, match="row 0: expected id, a whole number or a text without slashes, got"):
        open_suite("uro-mtbencheval-en").items(str(data))

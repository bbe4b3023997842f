"""Every kind of suite from its data to its report, by one small model and a judge that is sometimes wrong."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.importorskip("if_verifiable", reason="needs the extra evaluation: if-verifiable")
pytest.importorskip("whisper_normalizer", reason="needs the extra evaluation: whisper-normalizer")
pytest.importorskip("sklearn", reason="needs the extra quality: scikit-learn")

from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.protocols import Speech, SpeechRequest
from evaluation.items import Answer, Item
from evaluation.models.model import ModelConfig
from evaluation.models.pipeline_model import PipelineModel
from evaluation.run import EvaluationConfig, run_evaluation
from evaluation.suites.feeling_pairs import make_pairs
from evaluation.suites.tiny_set import TinyConfig, make_tiny_set
from evaluation.suites.uro_sets import URO_SETS
from opens2s_core.audio import decode_audio
from tests.data_pipeline.dialogues.memory import build, dialogue, message
from tests.evaluation.chat_endpoint import ChatEndpoint, Sent, completion, last_text
from tests.evaluation.suites.asking import WAV, write_parquet

RULES = {"key": 1, "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{"num_words": None}]}
TONES = "tests.e2e.test_evaluation:Tones"
OPTIONS = {
    "uro-genemotion-en": {"classifier": TONES},
    "speech": {"classifier": TONES},
    "feeling-swap": {"classifier": TONES},
}


class Tones:
    name = "always the same"

    def probabilities(self, speech: Speech) -> dict[str, float]:
        return {"happy": 0.5, "sad": 0.25, "comforting": 0.25}


class Recogniser:
    """Fails for every fourth clip."""

    name = "every fourth fails"
    clips = 0

    def transcribe(self, speech: Speech, language: str) -> str:
        self.clips += 1
        if self.clips % 4 == 0:
            raise RejectedRow("no answer: as the test wants")
        return "我很难过" if language == "zh" else "I am so sorry."


class Speaker:
    name = "noise"

    def speak(self, request: SpeechRequest) -> Speech:
        return Speech(*decode_audio(WAV))


class InThisProcess:
    """The pipeline without actors, loaded once for each configuration."""

    fingerprint: ClassVar = {"weights": "small"}
    loaded: ClassVar[dict[ModelConfig, PipelineModel]] = {}

    def __init__(self, model: str, config: ModelConfig) -> None:
        if config not in self.loaded:
            self.loaded[config] = PipelineModel(model, config)
        self._model = self.loaded[config]

    def answers(self, items: Sequence[Item]) -> Iterator[Answer]:
        return map(self._model.answer, items)


def respond(body: dict[str, Any]) -> Sent:
    """The first sample of each question gets no value at the first attempt."""
    if body["seed"] == 0:
        return completion("It depends.")
    text = last_text(body)
    if "Yes or No" in text or "yes or no" in text:
        return completion("Yes")
    return completion("A" if "Reply A" in text else "Score: 4")


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    (path.parent / "a.wav").write_bytes(WAV)
    return str(path)


def write_data(root: Path) -> dict[str, str]:
    """Data of two items or more for a suite of each kind; of URO-Bench one set for each way of scoring."""
    data = {}
    for subset in ("alpacaeval", "alpacaeval_full", "commoneval", "wildvoice", "ifeval"):
        row = {"audio": {"bytes": WAV, "path": ""}, "prompt": "Write a poem."}
        row |= RULES if subset == "ifeval" else {}
        write_parquet(root / "voicebench" / subset / "test-00000-of-00001.parquet", [row, row])
        data[f"voicebench-{subset}"] = str(root / "voicebench")
    for name, uro_set in {each.mode: (name, each) for name, each in reversed(URO_SETS.items())}.values():
        turn = {"source_wav": "a.wav", "source_text": "我很难过", "target_text": "别难过"}
        row = {"id": 0, "emotion": "sad", "style": "poem", "requirement": "in German"} | turn
        row |= {"dialogue": [turn | {"round": 1}, turn | {"round": 2}]} if uro_set.is_dialogue else {}
        write_lines(root / "uro" / uro_set.track / uro_set.name / "test.jsonl", [row, row | {"id": 1}])
        data[name] = str(root / "uro")
    clips = [
        {"audio": "a.wav", "text": "I am sad.", "label": "sad"},
        {"audio": "a.wav", "text": "Oh.", "label": "happy"},
    ]
    data["asr"] = data["ser"] = write_lines(root / "clips" / "clips.jsonl", clips)
    spoken = [{"id": f"a/../{n}", "audio": "a.wav", "text": "Oh.", "tone": "comforting"} for n in range(2)]
    data["speech"] = write_lines(root / "spoken" / "items.jsonl", spoken)
    data["feeling-swap"] = str(make_pairs(root / "pairs", 2, speaker=Speaker()))
    make_tiny_set(
        root / "tiny",
        TinyConfig(seen_voice_turns=2, unseen_voice_turns=2, dialogues=1, outside=1),
        speaker=Speaker(),
    )
    data["tiny"] = str(root / "tiny")
    build(
        root / "dialogues",
        [dialogue(id, message("user", "I lost it."), message("assistant", "Oh no.")) for id in ("a", "b")],
    )
    data["verbatim"] = str(root / "dialogues")
    turns = [{"input_audio": "a.wav", "input_text": "Oh.", "input_emotion": "sad"}] * 2
    choice = {"question": "How are they?", "options": ["happy", "sad"], "answer": "B"}
    rows = [{"dialogue_id": number, "turns": turns} for number in range(2)]
    write_lines(root / "humdial" / "T3.jsonl", rows)
    write_lines(root / "humdial" / "T1.jsonl", [row | choice for row in rows])
    data["humdial-eibench-empathy"] = data["humdial-eibench-choice"] = str(root / "humdial")
    return data


@pytest.mark.slow
def test_every_kind_of_suite_has_its_headline_metric(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_data(tmp_path / "data")
    monkeypatch.setattr("evaluation.run.open_model", InThisProcess)
    monkeypatch.setattr("data_pipeline.synthesis.recognisers.open_recogniser", lambda spec: Recogniser())
    with ChatEndpoint(respond).serving() as url:
        for suite, path in data.items():
            config = EvaluationConfig(
                suite=suite,
                data=path,
                model=str(tiny_bundle),
                output=tmp_path / "runs" / suite,
                options=OPTIONS.get(suite, {}),
                judge=f"openai:{url}#judge",
                max_tokens=2,
            )
            report = run_evaluation(config)
            headline = report["metrics"][0]
            assert headline["value"] is not None, (suite, report["failures"])
            assert (config.output / "report.html").exists()

"""Fine-tuning on conversations of a user's own, as the command line offers it."""

import json
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.dataset.index import read_index
from opens2s_core.audio import decode_audio
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_opens2s
from ray_jobs.held_out_replies import REPLIES
from ray_jobs.train import main
from tests.opens2s_core.training.samples import make_audio

pytestmark = pytest.mark.ray
ROWS = 20


def item(text: str = "", audio: str = "", speech_units: str = "") -> dict[str, Any]:
    return {"text": text, "audio": audio, "speech_units": speech_units, "spk_emb": ""}


def write_conversations(directory: Path, *, units: bool, rows: int = ROWS) -> Path:
    """Spoken questions with spoken replies, and every third one in text; replies have audio or units."""
    (directory / "wavs").mkdir(parents=True)
    lines = []
    for number in range(rows):
        for side, seconds in (("question", 1.0), ("reply", 0.8)):
            (directory / "wavs" / f"{side}-{number}.flac").write_bytes(make_audio(seconds, number))
        question = item("How are you?", audio=f"wavs/question-{number}.flac")
        codes = "".join(f"<|audio_{(number + step) % 64}|>" for step in range(10))
        reply = item("I am fine.", speech_units=codes) if units else item("I am fine.", f"wavs/reply-{number}.flac")
        if number % 3 == 0:
            question, reply = item("How are you?"), item("Fine, thank you.")
        messages = [{"role": "user", "content": [question]}, {"role": "assistant", "content": [reply]}]
        lines.append(json.dumps({"messages": messages}))
    path = directory / "mine.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def finetune(model: Path, data: Path, output: Path, *options: str) -> None:
    paths = {"--init": model, "--data": data, "--output": output}
    given = [str(part) for pair in paths.items() for part in pair]
    main(["--recipe", "finetune", *given, "--steps", "3", "--workers", "1", *options])


@pytest.mark.slow
def test_a_published_directory_is_fine_tuned_on_jsonl_with_units(
    tmp_path: Path, tiny_bundle: Path, ray_local: str
) -> None:
    opens2s = tiny_bundle / OPENS2S
    data = write_conversations(tmp_path, units=True)
    run = tmp_path / "runs" / "mine"  # below the directory of the JSONL, as people do
    finetune(opens2s, data, run)
    before, after = (load_opens2s(path).state_dict() for path in (opens2s, run / "export"))
    changed = {name.split(".")[1] for name, value in after.items() if not value.equal(before[name])}
    assert changed == {"audio_adapter", "llm_model", "llm2tts", "llm_ln", "tts_lm_model"}
    names = {path.relative_to(opens2s) for path in opens2s.rglob("*") if path.is_file()}
    assert {path.relative_to(run / "export") for path in (run / "export").rglob("*") if path.is_file()} == names
    (prepared,) = (run / "data").iterdir()
    written = ROWS - -(-ROWS // 3)  # each spoken one is there in writing, too
    assert len(read_index(str(prepared))) == ROWS + written
    replies = json.loads((run / "samples" / REPLIES).read_text())
    assert len(replies) == 3  # a tenth of the samples
    assert {reply["expected"] for reply in replies} <= {"I am fine.", "Fine, thank you."}
    assert not any("audio" in reply for reply in replies)
    finetune(opens2s, data, run)  # it is finished
    data.write_text(data.read_text().replace("Fine, thank you.", "Well, thank you."))
    with pytest.raises(SystemExit, match=r"the run was started with other settings: data\[0\]"):
        finetune(opens2s, data, run)


@pytest.mark.slow
def test_a_bundle_makes_the_units_and_speaks_the_held_out_replies(
    tmp_path: Path, tiny_bundle: Path, ray_local: str
) -> None:
    run = tmp_path / "run"
    finetune(tiny_bundle, write_conversations(tmp_path / "data", units=False), run, "--lora")
    assert (run / "export" / "token2wav").is_dir()
    assert (run / "export" / "speech_tokenizer").is_dir()
    replies = json.loads((run / "samples" / REPLIES).read_text())
    spoken = [reply for reply in replies if "audio" in reply]
    assert spoken
    for reply in spoken:
        audio, rate = decode_audio((run / "samples" / reply["audio"]).read_bytes())
        assert 0 < len(audio) / rate <= 90
        assert reply["seconds"] == pytest.approx(len(audio) / rate, abs=0.01)


def test_without_a_speech_tokenizer_replies_need_units(tmp_path: Path, tiny_bundle: Path, ray_local: str) -> None:
    data = write_conversations(tmp_path, units=False, rows=3)
    with pytest.raises(
        SystemExit, match=r"mine-00000002 has a reply with audio and without speech_units.*export import"
    ):
        finetune(tiny_bundle / OPENS2S, data, tmp_path / "run")


def test_what_is_wrong_with_the_conversations_is_one_line(tmp_path: Path, tiny_bundle: Path, ray_local: str) -> None:
    with pytest.raises(SystemExit, match=r"missing\.jsonl: expected a file of conversations"):
        finetune(tiny_bundle, tmp_path / "missing.jsonl", tmp_path / "run")
    (tmp_path / "other.jsonl").write_text('{"text": "no messages"}\n')
    with pytest.raises(SystemExit, match=r"1 of 1 rows cannot be used.*bad row"):
        finetune(tiny_bundle, tmp_path / "other.jsonl", tmp_path / "run")

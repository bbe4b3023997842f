"""Corpora of dialogues, built by the real job."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from data_pipeline.corpora.instructions import Instructions
from data_pipeline.dialogues.config import BuildConfig
from data_pipeline.dialogues.reading import read_dialogues
from data_pipeline.records import AudioReference
from opens2s_core.training.batch import load_clip
from ray_jobs.build_dialogues import build_dialogues, main
from ray_jobs.dialogue_recipes import smoke
from tests.data_pipeline.corpora.reading import conversations

pytestmark = pytest.mark.ray

JOB = """
import sys
from ray_jobs.build_dialogues import build_dialogues
from ray_jobs.cluster import connect
from tests.ray_jobs.test_build_dialogues import KILLED
connect()
build_dialogues(KILLED, sys.argv[1])
"""


def corpus(empathetic: int, **changes: object) -> BuildConfig:
    config = smoke()
    return replace(config, texts=replace(config.texts, empathetic=empathetic, **changes))


ZH = ["--language", "zh", "--reply-voice", "espeak:cmn+f2"]
MIXED = corpus(6, general=2, tools=2, turns=(0.4, 0.3, 0.2, 0.1), system_share=0.5)
KILLED = corpus(160, turns=(0.5, 0.5), shard_rows=2)


def files(directory: Path) -> dict[str, bytes]:
    """All but temporary files, which a killed job leaves for an hour."""
    found = (path for path in directory.rglob("*") if path.is_file() and "_tmp" not in path.parts)
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def times(directory: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in directory.rglob("*") if "_tmp" not in path.parts}


@pytest.fixture(scope="module")
def mixed(ray_local: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mixed")
    build_dialogues(MIXED, str(path))
    return path


def test_every_kind_of_dialogue_is_there_in_its_number(mixed: Path) -> None:
    kinds = [dialogue.row["kind"] for dialogue in read_dialogues(str(mixed))]
    assert {kind: kinds.count(kind) for kind in kinds} == {"empathetic": 6, "general": 2, "tool": 2}


def test_both_sides_are_spoken_and_a_user_has_one_voice(mixed: Path) -> None:
    for dialogue in read_dialogues(str(mixed)):
        spoken = [each for each in dialogue.messages if each.message["spoken"]]
        assert [each.message["role"] for each in spoken] == ["user", "assistant"] * (len(spoken) // 2)
        assert all(len(load_clip(each.audio)) > 8000 for each in spoken)
        assert len({each.utterance["voice"] for each in spoken if each.message["role"] == "user"}) == 1
        replies = [each for each in spoken if each.message["role"] == "assistant"]
        assert {each.utterance["voice"] for each in replies} == {"espeak:en-us+f2"}
        assert all(each.message["tone"] for each in replies)


def test_calls_and_results_of_tools_are_not_spoken(mixed: Path) -> None:
    (dialogue, *_) = [d for d in read_dialogues(str(mixed)) if d.row["kind"] == "tool"]
    roles = [(each.message["role"], each.message["spoken"]) for each in dialogue.messages]
    assert roles == [("system", False), ("user", True), ("assistant", False), ("user", False), ("assistant", True)]
    call = dialogue.messages[2].message["text"].removeprefix("<tool_call>\n").removesuffix("\n</tool_call>")
    assert set(json.loads(call)) == {"name", "arguments"}


def test_instruction_jsonl_has_the_same_dialogues(mixed: Path) -> None:
    read = conversations(Instructions(), mixed)
    dialogues = {dialogue.row["id"]: dialogue for dialogue in read_dialogues(str(mixed))}
    assert list(read) == list(dialogues)
    for id, conversation in read.items():
        row = dialogues[id].row
        assert [message.role for message in conversation.messages] == [message["role"] for message in row["messages"]]
        for message, spoken in zip(conversation.messages, dialogues[id].messages, strict=True):
            (content,) = message.content
            assert content.text == spoken.message["text"]
            assert (content.audio is None) == (not spoken.message["spoken"])
            if content.audio is not None:
                assert clip_of(mixed, content.audio) == spoken.audio
            if message.role == "user" and spoken.message["spoken"]:
                assert (message.emotion, message.gender, message.age) == (row["emotion"], row["gender"], row["age"])


def clip_of(corpus: Path, clip: AudioReference) -> bytes:
    assert clip.offset is not None
    assert clip.size is not None
    return (corpus / clip.path).read_bytes()[clip.offset : clip.offset + clip.size]


def test_every_line_has_its_provenance(mixed: Path) -> None:
    for line in (mixed / "train.jsonl").read_text().splitlines():
        provenance = json.loads(line)["provenance"]
        assert provenance["writer"].startswith("embedded-writer")
        assert all("espeak" in name for name in provenance["speakers"])
        assert len(provenance["voices"]) == 2


def test_a_finished_corpus_is_not_changed(ray_local: str, mixed: Path) -> None:
    before = times(mixed)
    build_dialogues(MIXED, str(mixed))
    assert times(mixed) == before


@pytest.mark.slow
def test_a_killed_build_is_finished_by_the_next(ray_local: str, tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    markers = killed / "speech" / "_shards"
    job = subprocess.Popen([sys.executable, "-c", JOB, str(killed)], env=os.environ | {"RAY_ADDRESS": ray_local})
    while not markers.exists() or len(os.listdir(markers)) < 20:
        assert job.poll() is None, "the job ended before it could be killed"
        time.sleep(0.01)
    job.kill()
    assert job.wait() == -9
    kept = {path: path.stat().st_mtime_ns for path in (killed / "speech" / "_shards").iterdir()}
    assert build_dialogues(KILLED, str(killed)) == build_dialogues(KILLED, str(whole))
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert files(killed) == files(whole)


def test_the_job_takes_its_recipe_and_numbers(
    ray_local: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--recipe", "smoke", "--output", str(tmp_path), "--empathetic", "3"])
    assert "3 in, 3 prepared, 0 rejected" in capsys.readouterr().out
    assert len(read_dialogues(str(tmp_path))) == 3
    assert (tmp_path / "samples.html").stat().st_size > 1000
    assert (tmp_path / "distributions.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--writer", "nobody"], "unknown writer 'nobody': expected embedded or openai:URL#MODEL"),
        (["--user-speaker", "nobody"], "unknown speaker 'nobody'"),
        (["--recogniser", "nobody", "--share", "1"], "unknown recogniser 'nobody'"),
        (["--seeds", "nowhere.csv"], "nowhere.csv"),
        (["--empathetic", "0"], "expected numbers of dialogues, at least 1 together"),
        (["--share", "2"], "share: expected 0 to 1, got 2"),
        (["--language", "zh"], "reply speaker: wrong language: voice espeak:en-us.f2 speaks 'en', the text is 'zh'"),
        (ZH, "expected first messages by embedded-writer-.*, none can be used: .* x .*: language"),
    ],
)
def test_what_is_wrong_with_an_option_is_one_line(
    ray_local: str, tmp_path: Path, options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match=f"python -m ray_jobs.build_dialogues: .*{message}"):
        main(["--recipe", "smoke", "--output", str(tmp_path), *options])


def test_an_unknown_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--recipe", "nonesuch", "--output", str(tmp_path)])

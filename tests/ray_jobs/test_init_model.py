"""What a new model's tokenizer learns from."""

import json
from pathlib import Path

import pytest

from data_pipeline.corpora import CorpusError
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from ray_jobs.init_model import main, read_texts
from tests.opens2s_core.training.samples import make_audio


def librispeech(root: Path) -> Path:
    chapter = root / "train-clean-100" / "84" / "121123"
    chapter.mkdir(parents=True)
    (chapter / "84-121123.trans.txt").write_text("84-121123-0000 GO DO YOU HEAR\n")
    (chapter / "84-121123-0000.flac").write_bytes(make_audio(1, 0))
    return root


def test_texts_are_those_of_corpora_files_and_conversations(tmp_path: Path) -> None:
    (texts,) = list(read_texts(f"librispeech:{librispeech(tmp_path / 'libri')}"))
    assert texts.lower() == "go do you hear"
    (tmp_path / "book.txt").write_text("One line.\n\nAnother line.\n")
    assert list(read_texts(str(tmp_path / "book.txt"))) == ["One line.", "Another line."]
    turns = [("user", "How are you?"), ("assistant", "Fine.")]
    content = {"audio": "", "speech_units": ""}
    messages = [{"role": role, "content": [{"text": text, **content}]} for role, text in turns]
    (tmp_path / "chats.jsonl").write_text(json.dumps({"messages": messages}) + "\n" + "no json\n")
    assert list(read_texts(str(tmp_path / "chats.jsonl"))) == ["How are you?", "Fine."]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.txt", "expected a file, it does not exist"),
        ("empty.txt", "expected some text"),
        ("unknown:dir", "expected CORPUS:DIR with a corpus of common_voice, emilia"),
        ("librispeech:nowhere", "not a directory"),
    ],
)
def test_a_source_without_text_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(CorpusError, match=message):
        list(read_texts(source))


def test_the_tokenizer_learns_from_all_sources(tmp_path: Path, untrained_voice: Path) -> None:
    (tmp_path / "a.txt").write_text("zzzqqq " * 50)
    (tmp_path / "b.txt").write_text("xxxwww " * 50)
    sources = [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]
    main(["--recipe", "smoke", "--texts", *sources, "--output", str(tmp_path / "out"), "--voice", str(untrained_voice)])
    tokenizer = read_vocabulary(tmp_path / "out" / OPENS2S).tokenizer
    assert len(tokenizer.tokenize(" zzzqqq xxxwww")) == 2
    with pytest.raises(SystemExit, match=r"nowhere\.txt: expected a file"):
        main(["--recipe", "smoke", "--texts", "nowhere.txt", "--output", str(tmp_path / "other")])
    assert not (tmp_path / "other").exists()

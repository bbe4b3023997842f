"""The stages of a voice, by the job that trains everything."""

from pathlib import Path

import pytest

from opens2s_core.checkpoint.bundle import SPEECH_TOKENIZER, TOKEN2WAV, read_bundle_info
from ray_jobs.train import main
from tests.opens2s_core.training.voice.speech_corpus import write_corpus

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "spoken", train=6, held_out=2)


def train(recipe: str, corpus: Path | str, output: Path, *options: str) -> None:
    main(["--recipe", recipe, "--size", "smoke", "--data", str(corpus), "--output", str(output), *options])


@pytest.mark.slow
def test_a_voice_is_made_at_once_or_stage_by_stage(
    corpus: Path, tmp_path: Path, ray_local: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def weights(run: Path) -> dict[str, bytes]:
        return {str(path.relative_to(run)): path.read_bytes() for path in (run / "voice").rglob("*.safetensors")}

    train("voice", corpus, tmp_path / "once")
    assert read_bundle_info(tmp_path / "once" / "voice").voice_trained
    assert {name.split("/")[1] for name in weights(tmp_path / "once")} == {SPEECH_TOKENIZER, TOKEN2WAV}
    for stage in ("voice-vocoder", "voice-tokenizer", "voice-flow"):
        capsys.readouterr()
        train(stage, corpus, tmp_path / "apart")
        assert ("finished; a voice needs" in capsys.readouterr().out) == (stage != "voice-flow")
    assert weights(tmp_path / "apart") == weights(tmp_path / "once")


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [
        ("voice", ["--data", "nowhere"], "nowhere: expected a speech corpus"),
        ("voice", ["--init", "nowhere"], "nowhere/speech_tokenizer/config.json"),
        ("voice-vocoder", ["--speaker", "nobody"], r"expected utterances of \['nobody'\]"),
    ],
)
def test_what_is_wrong_with_a_directory_is_one_line(
    corpus: Path, tmp_path: Path, ray_local: str, recipe: str, options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match=f"python -m ray_jobs.train: .*{message}"):
        train(recipe, corpus, tmp_path / "run", *options)

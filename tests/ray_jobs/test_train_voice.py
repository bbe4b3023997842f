"""The job that makes a voice, in this process and on a cluster."""

from pathlib import Path

import pytest

from opens2s_core.checkpoint.bundle import SPEECH_TOKENIZER, TOKEN2WAV, read_bundle_info
from ray_jobs.train_voice import main
from tests.opens2s_core.threads import one_thread  # noqa: F401 Ray gives a worker of one core no more
from tests.opens2s_core.training.voice.speech_corpus import write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "spoken", train=6, held_out=2)


def weights(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in (run / "voice").rglob("*.safetensors")}


@pytest.fixture(scope="module")
def alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice made without a cluster, one stage first."""
    run = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("RAY_ADDRESS", raising=False)
        for stage in (["--stage", "vocoder"], []):
            main(["--recipe", "voice-smoke", "--corpus", str(corpus), "--output", str(run), *stage])
    return run


def test_without_a_cluster_this_process_trains(alone: Path) -> None:
    assert read_bundle_info(alone / "voice").voice_trained
    assert {name.split("/")[1] for name in weights(alone)} == {SPEECH_TOKENIZER, TOKEN2WAV}


@pytest.mark.ray
@pytest.mark.slow
def test_a_worker_of_a_cluster_makes_the_same_voice(
    alone: Path, corpus: Path, tmp_path: Path, ray_local: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", ray_local)
    main(["--recipe", "voice-smoke", "--corpus", str(corpus), "--output", str(tmp_path / "run")])
    assert weights(tmp_path / "run") == weights(alone)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--corpus", "nowhere"], "error: .*nowhere: expected a speech corpus"),
        (["--start", "nowhere"], "error: .*nowhere/speech_tokenizer/config.json"),
        (["--speaker", "nobody", "--stage", "vocoder"], r"error: expected utterances of \('nobody',\)"),
    ],
)
def test_what_is_wrong_with_a_directory_is_one_line(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(SystemExit, match=message):
        main(["--recipe", "voice-smoke", "--corpus", str(corpus), "--output", str(tmp_path / "run"), *options])

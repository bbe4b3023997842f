import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from opens2s_core.checkpoint.bundle import SPEECH_TOKENIZER, TOKEN2WAV, read_bundle_info
from opens2s_core.checkpoint.codebooks import codebook_sizes
from opens2s_core.checkpoint.speech_tokenizer import load_speech_tokenizer
from opens2s_core.checkpoint.token2wav import load_token2wav
from opens2s_core.config import ConfigError
from opens2s_core.storage import StorageError
from opens2s_core.training.loop import Progress
from opens2s_core.training.run import EXPORT, RunError
from opens2s_core.training.voice import progress as progress_module
from opens2s_core.training.voice.corpus import MANIFEST, CorpusError
from opens2s_core.training.voice.make import STAGES, make_voice
from opens2s_core.training.voice.progress import ProgressBar
from ray_jobs.voice_recipes import VOICES, voice_smoke
from tests.opens2s_core.training.voice.speech_corpus import write_corpus


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "spoken", train=6, held_out=2)


@pytest.fixture(scope="module")
def made(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("made")
    assert make_voice(voice_smoke(), corpus, output) == output / "voice"
    return output


def test_a_voice_is_a_bundle_without_language_models(made: Path) -> None:
    config, voice = voice_smoke(), made / "voice"
    assert sorted(path.name for path in voice.iterdir()) == [SPEECH_TOKENIZER, TOKEN2WAV]
    assert codebook_sizes(voice) == {SPEECH_TOKENIZER: 32, TOKEN2WAV: 32}
    assert read_bundle_info(voice).voice_trained
    assert load_speech_tokenizer(voice / SPEECH_TOKENIZER).config == config.speech_tokenizer
    flow, vocoder = load_token2wav(voice / TOKEN2WAV)
    assert (flow.config, vocoder.config) == (config.token2wav.flow, config.token2wav.hift)


def test_a_finished_voice_is_left_as_it_is(made: Path, corpus: Path) -> None:
    before = contents(made)
    make_voice(voice_smoke(), corpus, made)
    assert contents(made) == before


def test_a_voice_in_half_precision_has_half_the_size(made: Path, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "stages", tmp_path / "stages")
    half = make_voice(replace(voice_smoke(), half_precision=True), corpus, tmp_path)
    assert half is not None
    for file in (path.relative_to(made / "voice") for path in (made / "voice").rglob("*.safetensors")):
        whole = load_file(made / "voice" / file)
        assert all(torch.equal(kept, whole[name].half()) for name, kept in load_file(half / file).items()), file
        assert (half / file).stat().st_size < 0.6 * (made / "voice" / file).stat().st_size


def test_stage_by_stage_the_same_voice_is_made(made: Path, corpus: Path, tmp_path: Path) -> None:
    results = [make_voice(voice_smoke(), corpus, tmp_path, stages=[name]) for name in reversed(STAGES[:1] + STAGES[2:])]
    assert results == [None, None]
    assert make_voice(voice_smoke(), corpus, tmp_path, stages=["flow"]) == tmp_path / "voice"
    assert contents(tmp_path / "voice") == contents(made / "voice")


def test_fine_tuning_starts_from_the_weights_of_the_voice(made: Path, corpus: Path, tmp_path: Path) -> None:
    config = voice_smoke()
    still = replace(
        config,
        tokenizer_stage=replace(config.tokenizer_stage, learning_rate=0.0),
        flow_stage=replace(config.flow_stage, learning_rate=0.0),
        vocoder_stage=replace(config.vocoder_stage, learning_rate=0.0),
    )
    tuned = make_voice(still, corpus, tmp_path, start=made / "voice")
    assert tuned is not None
    for file in (path.relative_to(tuned) for path in tuned.rglob("*.safetensors")):
        before, after = load_file(made / "voice" / file), load_file(tuned / file)
        moved = {name for name in after if not torch.equal(before[name], after[name])}
        followed = {"codebook.weight"}  # the sounds, not gradients
        assert moved == (followed if file.parts[0] == SPEECH_TOKENIZER else set())


def test_parts_of_a_voice_are_fine_tuned_one_after_another(made: Path, corpus: Path, tmp_path: Path) -> None:
    def changed(voice: Path | None) -> set[str]:
        assert voice is not None
        after, before = contents(voice), contents(made / "voice")
        return {name for name in before if after[name] != before[name]}

    other = replace(VOICES["tiny"](), flow_stage=voice_smoke().flow_stage, vocoder_stage=voice_smoke().vocoder_stage)
    other = replace(other, half_precision=False)
    first = make_voice(other, corpus, tmp_path, start=made / "voice", stages=["vocoder"])
    assert changed(first) == {"token2wav/hift.safetensors"}
    second = make_voice(other, corpus, tmp_path, start=made / "voice", stages=["flow"])
    assert changed(second) == {"token2wav/hift.safetensors", "token2wav/flow.safetensors"}
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(made / "voice", elsewhere)
    (elsewhere / TOKEN2WAV / "note.txt").write_text("another voice")
    with pytest.raises(RunError, match=r"stages/flow: .*start was"):
        make_voice(other, corpus, tmp_path, start=elsewhere, stages=["flow"])


class Interrupted(Exception):
    pass


@pytest.mark.slow
def test_stages_that_were_interrupted_make_the_same_voice(made: Path, corpus: Path, tmp_path: Path) -> None:
    def end(progress: Progress) -> None:
        if progress.done == 5:
            raise Interrupted

    for name in STAGES:
        with pytest.raises(Interrupted):
            make_voice(voice_smoke(), corpus, tmp_path, stages=[name], show=lambda name, steps: nullcontext(end))
        make_voice(voice_smoke(), corpus, tmp_path, stages=[name])
    assert contents(tmp_path / "voice") == contents(made / "voice")


def test_the_flow_needs_a_speech_tokenizer(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"speech_tokenizer/export: expected a trained speech tokenizer"):
        make_voice(voice_smoke(), corpus, tmp_path, stages=["flow"])


def test_a_run_is_not_resumed_with_other_audio_or_other_units(made: Path, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "made")
    other = write_corpus(tmp_path / "other", train=7, held_out=1)
    with pytest.raises(RunError, match=r"stages/speech_tokenizer: .*corpus was"):
        make_voice(voice_smoke(), other, tmp_path / "made")
    tokenizer = tmp_path / "made" / "stages" / "speech_tokenizer" / EXPORT / "config.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    with pytest.raises(RunError, match=r"stages/flow: .*speech_tokenizer was"):
        make_voice(voice_smoke(), corpus, tmp_path / "made")


def test_a_directory_without_a_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=rf"{tmp_path}: expected a speech corpus with {MANIFEST}"):
        make_voice(voice_smoke(), tmp_path, tmp_path / "run")


def test_a_voice_that_the_corpus_does_not_have_is_named(made: Path, corpus: Path, tmp_path: Path) -> None:
    nobody = voice_smoke().with_voice("nobody")
    for name in ("flow", "vocoder"):
        with pytest.raises(ValueError, match=r"expected utterances of \('nobody',\)"):
            make_voice(nobody, corpus, tmp_path, start=made / "voice", stages=[name])


@pytest.mark.parametrize("name", VOICES)
def test_the_flow_of_a_recipe_has_the_codebook_size_of_its_tokenizer(name: str) -> None:
    config = VOICES[name]()
    with pytest.raises(ConfigError, match=r"flow.vocab_size: expected the speech tokenizer's 8 codes"):
        replace(config, speech_tokenizer=replace(config.speech_tokenizer, quantize_vocab_size=8))


def test_a_bar_shows_the_progress_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bar:
        def __init__(self, **settings: object) -> None:
            self.settings, self.done, self.description, self.closed = settings, 0, "", False

        def update(self, steps: int) -> None:
            self.done += steps

        def set_description(self, description: str) -> None:
            self.description = description

        def close(self) -> None:
            self.closed = True

    bars: list[Bar] = []
    monkeypatch.setattr(progress_module, "tqdm", lambda **settings: bars.append(Bar(**settings)) or bars[0])
    with ProgressBar("flow", 1000) as progress:
        for done in range(501, 1001):  # of a run that goes on
            progress(Progress(done, 1000, {"loss": 1 / done, "mel": np.float64(2.5)}, {}))
    assert bars[0].settings == {"desc": "flow", "total": 1000, "unit": "step"}
    assert (bars[0].done, bars[0].description, bars[0].closed) == (1000, "flow: loss 0.001, mel 2.5", True)

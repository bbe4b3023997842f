"""Ways from one directory of weights to another, by the command that people use."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from opens2s_core.audio import SAMPLE_RATE
from opens2s_core.checkpoint.bundle import OPENS2S, SPEECH_TOKENIZER, TOKEN2WAV, read_bundle_info
from opens2s_core.checkpoint.files import read_json
from opens2s_core.checkpoint.opens2s import load_opens2s, read_config
from opens2s_core.checkpoint.voices import save_voices
from opens2s_core.config import config_to_dict
from opens2s_core.inference.messages import AudioChunk, ReplyRequest, Sampling, TextDelta
from opens2s_core.inference.pipeline import Pipeline
from opens2s_core.prompt import SPEAKER_DIM, Audio, Message
from opens2s_core.training.checkpoints import Writer
from opens2s_core.training.engine import WEIGHTS, trained
from opens2s_core.training.objective import Objective
from opens2s_core.training.run import open_run
from opens2s_core.training.stages import STAGE2B
from ray_jobs.export import main

GOLDEN = Path(__file__).parents[1] / "golden"
PARTS = {OPENS2S: "opens2s_tiny", SPEECH_TOKENIZER: "speech_tokenizer_tiny", TOKEN2WAV: "token2wav_tiny"}


def import_golden(bundle: Path, *options: str) -> None:
    given = [word for part, name in PARTS.items() for word in (f"--{part.replace('_', '-')}", str(GOLDEN / name))]
    main(["import", *given, *options, "--output", str(bundle)])


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.parent.name}/{path.stem}/{name}": value
        for path in sorted(directory.rglob("*.safetensors"))
        for name, value in load_file(path).items()
    }


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("export") / "bundle"
    import_golden(directory)
    return directory


def test_published_directories_make_a_bundle_that_replies(bundle: Path) -> None:
    samples = np.sin(np.arange(SAMPLE_RATE) / 20).astype(np.float32)
    request = ReplyRequest(
        messages=(Message("user", (Audio(samples),)),),
        text=Sampling(max_tokens=5),
        units=Sampling(max_tokens=30),
    )
    reply = list(Pipeline.load(bundle).reply(request))
    assert any(isinstance(message, TextDelta) for message in reply)
    assert sum(len(message.samples) for message in reply if isinstance(message, AudioChunk)) > 0


def test_published_and_imported_again_nothing_has_changed(bundle: Path, tmp_path: Path) -> None:
    main(["publish", "--model", str(bundle), "--output", str(tmp_path / "published")])
    published = [f"{tmp_path}/published/{part}" for part in PARTS]
    given = zip((f"--{part.replace('_', '-')}" for part in PARTS), published, strict=True)
    main(["import", *(word for pair in given for word in pair), "--output", str(tmp_path / "again")])
    before, after = weights(bundle), weights(tmp_path / "again")
    assert before.keys() == after.keys()
    assert all(value.equal(after[name]) for name, value in before.items())
    for part in PARTS:
        for settings in (bundle / part).glob("config.*"):
            assert settings.read_text() == (tmp_path / "again" / part / settings.name).read_text()


def test_what_is_published_has_the_published_names(bundle: Path, tmp_path: Path) -> None:
    main(["publish", "--model", str(bundle), "--output", str(tmp_path / "published")])
    vocoder = torch.load(tmp_path / "published" / TOKEN2WAV / "hift.pt", weights_only=True)
    assert vocoder.keys() == load_file(GOLDEN / "token2wav_tiny" / "hift.safetensors").keys()
    flow = torch.load(tmp_path / "published" / TOKEN2WAV / "flow.pt", weights_only=True)
    golden = load_file(GOLDEN / "token2wav_tiny" / "flow.safetensors")
    assert flow.keys() == golden.keys()
    assert all(value.equal(golden[name]) for name, value in flow.items())
    opens2s = weights(tmp_path / "published" / OPENS2S)
    assert "opens2s/model/tts_lm_model.lm_head.weight" in opens2s  # the published code does not tie it
    with pytest.raises(yaml.YAMLError, match="!new:cosyvoice"):
        yaml.safe_load((tmp_path / "published" / TOKEN2WAV / "config.yaml").read_text())


def test_how_a_model_was_trained_is_stored_with_it(bundle: Path, tmp_path: Path) -> None:
    assert (read_config(bundle / OPENS2S).prompt_style, read_config(bundle / OPENS2S).audio_padding) == ("chat", "full")
    import_golden(tmp_path / "other", "--prompt-style", "training", "--audio-padding", "masked")
    other = read_config(tmp_path / "other" / OPENS2S)
    assert (other.prompt_style, other.audio_padding) == ("training", "masked")


def test_what_is_there_already_is_not_replaced(bundle: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in bundle.rglob("*")}
    import_golden(bundle)  # the same command again
    with pytest.raises(SystemExit, match="is there already, made in another way"):
        import_golden(bundle, "--prompt-style", "plain")
    with pytest.raises(SystemExit, match="is there already"):
        import_golden(bundle / OPENS2S / "config.json")
    assert before == {path: path.stat().st_mtime_ns for path in bundle.rglob("*")}
    (tmp_path / "empty").mkdir()
    import_golden(tmp_path / "empty")
    assert weights(tmp_path / "empty").keys() == weights(bundle).keys()


def test_what_a_model_says_of_its_training_is_kept(bundle: Path, tmp_path: Path) -> None:
    import_golden(tmp_path / "trained", "--prompt-style", "plain", "--audio-padding", "masked")
    main(["import", "--opens2s", f"{tmp_path}/trained/{OPENS2S}", "--output", str(tmp_path / "again")])
    again = read_config(tmp_path / "again" / OPENS2S)
    assert (again.prompt_style, again.audio_padding) == ("plain", "masked")


def test_the_transcription_prompt_is_stored_kept_and_published(bundle: Path, run: Path, tmp_path: Path) -> None:
    def prompt_of(name: str) -> str:
        return read_bundle_info(tmp_path / name).transcription_prompt

    assert read_bundle_info(bundle).transcription_prompt == ""
    import_golden(tmp_path / "trained", "--transcription-prompt", "Write: ")
    main(["publish", "--model", f"{tmp_path}/trained", "--output", f"{tmp_path}/published"])
    parts = [word for part in PARTS for word in (f"--{part.replace('_', '-')}", f"{tmp_path}/published/{part}")]
    main(["import", *parts, "--output", f"{tmp_path}/again"])
    main(["import", *parts, "--transcription-prompt", "", "--output", f"{tmp_path}/without"])
    assert [prompt_of(name) for name in ("trained", "again", "without")] == ["Write: ", "Write: ", ""]

    def export(name: str, start: Path, *options: str) -> str:
        main(["run", "--run", str(run), "--model", str(start), *options, "--output", f"{tmp_path}/{name}"])
        return prompt_of(name)

    assert export("kept", tmp_path / "trained") == "Write: "
    assert export("given", bundle, "--transcription-prompt", "Write: ") == "Write: "
    assert export("removed", tmp_path / "trained", "--transcription-prompt", "") == ""


def test_a_voice_alone_comes_in_and_out(tmp_path: Path) -> None:
    main(["import", "--token2wav", str(GOLDEN / "token2wav_tiny"), "--output", str(tmp_path / "voice")])
    main(["publish", "--model", str(tmp_path / "voice"), "--output", str(tmp_path / "published")])
    assert {path.name for path in (tmp_path / "published").iterdir()} == {TOKEN2WAV, "export.json"}


def test_a_link_to_an_empty_directory_is_filled(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "link").symlink_to("volume")
    import_golden(tmp_path / "link")
    assert (tmp_path / "volume" / OPENS2S / "config.json").exists()


def test_parts_that_do_not_fit_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import_golden(tmp_path / "bundle")
    sizes = {OPENS2S: 64, SPEECH_TOKENIZER: 128, TOKEN2WAV: 64}
    assert f"different numbers of speech units, and will not understand each other: {sizes}" in capsys.readouterr().out


@pytest.fixture(scope="module")
def run(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose checkpoint after 7 steps has the bundle's own weights, all of them twice as great."""
    directory = tmp_path_factory.mktemp("run")
    identity = {"config": {"stage": config_to_dict(STAGE2B), "plan": {"seed": 0}}, "units_per_token": 2.25}
    store, writer = open_run(directory, identity).checkpoints, Writer(rank=0, world=1, attempt=0)
    objective = Objective(load_opens2s(bundle / OPENS2S), STAGE2B, seed=0)
    state = {f"{WEIGHTS}/{name}": 2 * value.detach() for name, value in trained(objective).items()}
    store.write(7, writer, state)
    store.publish(7, writer, {}, {})
    return directory


def test_the_weights_of_a_run_take_the_place_of_those_it_trained(
    bundle: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["run", "--run", str(run), "--model", str(bundle), "--output", str(tmp_path / "new")])
    assert "the weights of step 7" in capsys.readouterr().out
    before, after = weights(bundle), weights(tmp_path / "new")
    decoder = ("opens2s/model/llm2tts.", "opens2s/model/llm_ln.", "opens2s/model/tts_lm_model.")
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(after[name], 2 * value if name.startswith(decoder) else value), name
    assert read_bundle_info(tmp_path / "new").units_per_token == 2.25
    main(["publish", "--model", str(tmp_path / "new"), "--output", str(tmp_path / "published")])
    assert "units_per_token" not in read_json(tmp_path / "published" / OPENS2S / "config.json")


def test_named_voices_stay_with_the_bundle(bundle: Path, run: Path, tmp_path: Path) -> None:
    voiced = shutil.copytree(bundle, tmp_path / "voiced")
    save_voices({"zoe": np.ones(SPEAKER_DIM, np.float32)}, voiced)
    main(["run", "--run", str(run), "--model", str(voiced), "--output", str(tmp_path / "new")])
    main(["publish", "--model", str(voiced), "--output", str(tmp_path / "published")])
    for made in ("new", "published"):
        assert read_bundle_info(tmp_path / made).voices == ("zoe",)


def test_a_directory_without_a_run_is_refused(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="expected a training run of a stage"):
        main(["run", "--run", str(tmp_path), "--model", str(bundle), "--output", str(tmp_path / "model")])


def test_a_bad_directory_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    broken = shutil.copytree(GOLDEN / "opens2s_tiny", tmp_path / "broken")
    state = load_file(broken / "model.safetensors")
    del state["llm_ln.bias"]
    save_file(state | {"surprise": torch.zeros(1)}, broken / "model.safetensors")
    with pytest.raises(SystemExit, match=r"missing llm_ln\.bias; unknown surprise"):
        main(["import", "--opens2s", str(broken), "--output", str(tmp_path / "bundle")])
    with pytest.raises(SystemExit, match="at least one of --opens2s"):
        main(["import", "--output", str(tmp_path / "bundle")])
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]

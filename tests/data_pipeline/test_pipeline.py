from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_pipeline.pipeline import PrepareConfig, PrepareModel, bundle_fingerprint, prepare_turns

from data_pipeline.report import Report
from data_pipeline.schema import SAMPLE
from opens2s_core.audio import Waveform, encode_audio
from opens2s_core.checkpoint.bundle import OPENS2S, SPEECH_TOKENIZER
from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.opens2s import load_prompt_builder, read_config
from opens2s_core.checkpoint.speech_tokenizer import load_speech_tokenizer
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.prompt import IGNORED
from opens2s_core.training.batch import EncodedSample, collate

RNG = np.random.default_rng(0)


def noise(seconds: float, rate: int = 16000) -> bytes:
    return encode_audio(RNG.uniform(-0.3, 0.3, int(seconds * rate)).astype(np.float32), rate)


def row(name: str, **changes: Any) -> dict[str, Any]:
    good = {
        "id": name,
        "user_text": "My dog ran away.",
        "user_audio": noise(1.5),
        "user_feeling": "sad",
        "user_voice": "en+m1",
        "reply_text": "I'm so sorry about your dog.",
        "reply_audio": noise(2.1),
    }
    return good | changes


class LengthEncoder:
    """A unit for each begun 80 ms of a clip."""

    def encode(self, waveforms: Sequence[Waveform]) -> list[list[int]]:
        return [list(range(-(-len(waveform) // 1280))) for waveform in waveforms]


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> PrepareModel:
    directory = tiny_bundle / OPENS2S
    return PrepareModel(load_prompt_builder(directory), read_config(directory).audio_positions, LengthEncoder())


def prepare(rows: Sequence[Mapping[str, Any]], model: PrepareModel, **settings: Any) -> tuple[Any, Any, Report]:
    content = prepare_turns(rows, PrepareConfig(**settings), model)
    return content.rows, content.rejects.to_pylist(), content.report


def test_a_turn_becomes_a_sample(model: PrepareModel) -> None:
    turn = row("a")
    rows, rejects, report = prepare([turn], model)
    (sample,) = rows.to_pylist()
    assert rows.schema.equals(SAMPLE)
    assert sample["audios"] == [turn["user_audio"]]
    assert sample["units"] == [list(range(27))]
    said = [token for token, kind in zip(sample["input_ids"], sample["token_types"], strict=True) if kind]
    assert model.prompts.tokenizer.decode(said) == "<|im_tts_start|>I'm so sorry about your dog.<|im_tts_end|>"
    assert rejects == []
    assert (report.rows_in, report.rows_out, report.samples) == (1, 1, 1)
    assert report.audio_seconds == 3.6
    assert (report.units, report.spoken_tokens) == (27, len(said))
    assert (report.positions, report.text_labels, report.unit_labels) == (
        sample["length"],
        sample["text_labels"],
        sample["unit_labels"],
    )


def test_the_counts_are_those_of_the_tensors(model: PrepareModel, tiny_bundle: Path) -> None:
    rows, _, _ = prepare([row("a"), row("b", user_audio=noise(0.71), reply_audio=noise(0.5))], model)
    config, vocabulary = read_config(tiny_bundle / OPENS2S), read_vocabulary(tiny_bundle / OPENS2S)
    names = ("input_ids", "token_types", "labels", "audios", "units")
    for sample in rows.to_pylist():
        batch = collate([EncodedSample(*(sample[name] for name in names))], config, vocabulary)
        assert sample["length"] == batch.input_ids.shape[1]
        assert sample["text_labels"] == int((batch.labels != IGNORED).sum())
        assert sample["unit_labels"] == int((batch.replies.labels != IGNORED).sum())


def test_bad_rows_are_set_aside_with_step_and_reason_and_the_others_go_on(model: PrepareModel) -> None:
    rows = [
        row("good"),
        row("broken", user_audio=b"RIFF"),
        row("long", reply_audio=noise(30.5)),
        row("slow", user_audio=noise(1.5, 8000)),
        row("short", user_audio=noise(0.2)),
        row("silent", reply_audio=encode_audio(np.zeros(16000, np.float32), 16000)),
        row("wordless", reply_text=" "),
        row("wordy", reply_text="dog " * 400),
        row("fine"),
    ]
    samples, rejects, report = prepare(rows, model)
    assert samples["id"].to_pylist() == ["good", "fine"]
    assert [(reject["id"], reject["step"]) for reject in rejects] == [
        ("broken", "decode"),
        ("long", "decode"),
        ("slow", "decode"),
        ("short", "filter"),
        ("silent", "filter"),
        ("wordless", "filter"),
        ("wordy", "tokenise"),
    ]
    assert report.rejected == {
        "decode: bad reply audio": 1,
        "decode: bad user audio": 1,
        "decode: wrong rate of user audio": 1,
        "filter: empty reply text": 1,
        "filter: silent reply audio": 1,
        "filter: user audio too short": 1,
        "tokenise: reply text too long": 1,
    }
    assert (report.rows_in, report.rows_out) == (9, 2)


def test_a_shard_of_bad_rows_is_an_empty_table_of_the_right_columns(model: PrepareModel) -> None:
    samples, rejects, report = prepare([row("broken", user_audio=b"")], model)
    assert samples.schema.equals(SAMPLE)
    assert (len(samples), len(rejects), report.rows_out) == (0, 1, 0)


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_units_do_not_depend_on_the_batch(tiny_bundle: Path, model: PrepareModel, batch: int) -> None:
    real = PrepareModel(model.prompts, model.audio_positions, load_speech_tokenizer(tiny_bundle / SPEECH_TOKENIZER))
    rows = [row(str(index), reply_audio=noise(0.5 + 0.33 * index)) for index in range(4)]
    together, _, _ = prepare(rows, real, unit_batch=batch)
    alone = [prepare([one], real)[0].to_pylist()[0] for one in rows]
    assert together.to_pylist() == alone


@pytest.mark.parametrize(("low", "high"), [(0.0, 30.0), (2.0, 1.0)])
def test_limits_that_let_nothing_through_are_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="expected 0 < min_seconds <= max_seconds, got"):
        PrepareConfig(min_seconds=low, max_seconds=high)


def test_the_bundles_fingerprint_covers_tokenizers_and_not_what_is_trained(tmp_path: Path) -> None:
    for name in ("opens2s/tokenizer.json", "opens2s/model.safetensors", "speech_tokenizer/model.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("first")
    first = bundle_fingerprint(str(tmp_path))
    (tmp_path / "opens2s/model.safetensors").write_text("trained")
    assert bundle_fingerprint(str(tmp_path)) == first
    for name in ("opens2s/tokenizer.json", "speech_tokenizer/model.safetensors"):
        before = bundle_fingerprint(str(tmp_path))
        (tmp_path / name).write_text("second")
        assert bundle_fingerprint(str(tmp_path)) != before


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a bundle: expected opens2s/ and speech_tokenizer/ in it"):
        bundle_fingerprint(str(tmp_path))

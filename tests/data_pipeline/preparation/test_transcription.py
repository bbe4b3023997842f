"""Which data sets train transcription."""

import json
from pathlib import Path

import pytest

from data_pipeline.dataset import DatasetError
from data_pipeline.dataset.layout import MANIFEST, DatasetFiles
from data_pipeline.preparation.transcription import transcription_prompt
from ray_jobs.data_recipes import DATA_RECIPES


def data_set(directory: Path, recipe: str) -> str:
    """The manifest of a data set that was prepared by ``recipe``."""
    made_from = {"config": DATA_RECIPES[recipe]().identity()}
    DatasetFiles(str(directory)).put_json(MANIFEST, json.loads(json.dumps({"made_from": made_from})))
    return str(directory)


@pytest.mark.parametrize("recipe", DATA_RECIPES)
def test_only_the_recipe_transcription_trains_it(tmp_path: Path, recipe: str) -> None:
    expected = "Transcribe the following speech: " if recipe == "transcription" else None
    assert transcription_prompt([data_set(tmp_path, recipe)]) == expected


def test_one_data_set_of_a_mixture_is_enough(tmp_path: Path) -> None:
    urls = [data_set(tmp_path / recipe, recipe) for recipe in ("dialogues", "transcription", "tts")]
    assert transcription_prompt(urls) == "Transcribe the following speech: "
    DatasetFiles(urls[0]).put(MANIFEST, b"{}")  # not prepared from a corpus
    assert transcription_prompt(urls[:1]) is None


def test_two_prompts_are_refused(tmp_path: Path) -> None:
    urls = [data_set(tmp_path / name, "transcription") for name in ("one", "two")]
    assert transcription_prompt(urls) == "Transcribe the following speech: "
    manifest = DatasetFiles(urls[1]).read_json(MANIFEST)
    manifest["made_from"]["config"]["tokenise"]["transcription_prompt"] = "Write: "
    DatasetFiles(urls[1]).put_json(MANIFEST, manifest)
    with pytest.raises(DatasetError, match="two has 'Write: ': expected the same"):
        transcription_prompt(urls)

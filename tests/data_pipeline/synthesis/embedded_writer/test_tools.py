import json
import re

import pytest
from jsonschema import validate

from data_pipeline.synthesis.embedded_writer import TONES
from data_pipeline.synthesis.embedded_writer.english import normalised, words
from data_pipeline.synthesis.embedded_writer.tool_scenes import TOOL_SCENES, ToolScene
from data_pipeline.synthesis.embedded_writer.tools import ToolDialogue, tool_dialogues
from tests.data_pipeline.synthesis.embedded_writer.content import content_words

DIALOGUES = tool_dialogues(700, seed=0)


def test_there_are_many_and_no_request_comes_twice() -> None:
    assert len({normalised(dialogue.request) for dialogue in DIALOGUES}) == len(DIALOGUES) == 700
    first = tool_dialogues(100, seed=3)
    assert {json.loads(dialogue.tool)["name"] for dialogue in first} == {scene.tool["name"] for scene in TOOL_SCENES}


def test_the_same_seed_gives_the_same_dialogues() -> None:
    assert tool_dialogues(50, seed=1) == tool_dialogues(300, seed=1)[:50]
    assert tool_dialogues(50, seed=1) != tool_dialogues(50, seed=2)


@pytest.mark.parametrize("count", [-1, 100_000])
def test_a_count_it_cannot_write_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"cannot write {count} dialogues with tools: expected between 0 and "):
        tool_dialogues(count, seed=0)


@pytest.mark.parametrize("dialogue", DIALOGUES[::5], ids=lambda dialogue: dialogue.request)
def test_a_call_is_valid_against_the_schema_of_its_tool(dialogue: ToolDialogue) -> None:
    tool, call = json.loads(dialogue.tool), json.loads(dialogue.call)
    assert set(tool) == {"name", "description", "parameters"}
    assert set(call) == {"name", "arguments"}
    assert call["name"] == tool["name"]
    validate(call["arguments"], {**tool["parameters"], "additionalProperties": False})
    assert dialogue.tool in dialogue.system
    assert isinstance(json.loads(dialogue.result), dict)


def test_what_is_spoken_is_plain_english() -> None:
    for dialogue in DIALOGUES:
        for text in (dialogue.request, dialogue.answer):
            assert re.fullmatch(r"[A-Z][A-Za-z' ,.?]+[.?]", text), text
            assert 4 <= len(words(text)) <= 25, text
        assert dialogue.tone in TONES


@pytest.mark.parametrize("scene", TOOL_SCENES, ids=lambda scene: scene.tool["name"])
def test_requests_contain_all_arguments_and_answers_all_results(scene: ToolScene) -> None:
    fields = re.compile(r"\{(\w+)\}")
    for request in scene.requests:
        assert set(scene.arguments.values()) == set(fields.findall(request)), request
    spoken = {name for name in scene.result.values() if name != "done"}
    for answer, _ in scene.answers:
        assert spoken <= set(fields.findall(answer)), answer


def test_the_answer_contains_the_result() -> None:
    [dialogue] = [d for d in tool_dialogues(40, seed=5) if '"get_weather"' in d.call][:1]
    result = json.loads(dialogue.result)
    numbers = {2: "two", 9: "nine", 14: "fourteen", 18: "eighteen", 21: "twenty one"}
    assert f"{numbers[result['temperature_celsius']]} degrees" in dialogue.answer
    assert json.loads(dialogue.call)["arguments"]["city"] in dialogue.answer
    assert content_words(dialogue.request) & content_words(dialogue.answer)

"""Dialogues with a tool: a spoken request, the call, its result and the spoken answer."""

import itertools
import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from data_pipeline.synthesis.embedded_writer.english import sentence
from data_pipeline.synthesis.embedded_writer.tool_scenes import TOOL_SCENES, ToolScene

_SYSTEMS = (
    "You are a voice assistant and can use a tool.",
    "You help people at home by voice. Use the tool when it is needed.",
    "Answer briefly, as in a talk. One tool is at hand.",
)
_FORMAT = (
    "The tool is described in JSON:\n<tools>\n{tool}\n</tools>\n"
    'Call it with <tool_call>{{"name": its name, "arguments": its arguments}}</tool_call> and wait for the result.'
)
_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolDialogue:
    """``request`` and ``answer`` are spoken. ``tool``, ``call`` and ``result`` are JSON objects.

    ``tool`` has a name, a description and the JSON schema of its parameters, which ``system`` quotes; ``call`` has the
    name and the arguments.
    """

    system: str
    tool: str
    request: str
    call: str
    result: str
    answer: str
    tone: str


def tool_dialogues(count: int, seed: int) -> list[ToolDialogue]:
    """So many dialogues with different requests, of all tools in turn. ValueError where there are too few."""
    rng = random.Random(seed)
    scenes = [_dialogues(scene, rng) for scene in rng.sample(TOOL_SCENES, len(TOOL_SCENES))]
    rounds = itertools.zip_longest(*scenes)
    dialogues = [dialogue for dialogues in rounds for dialogue in dialogues if dialogue]
    if not 0 <= count <= len(dialogues):
        raise ValueError(f"cannot write {count} dialogues with tools: expected between 0 and {len(dialogues)}")
    return dialogues[:count]


def _dialogues(scene: ToolScene, rng: random.Random) -> Iterator[ToolDialogue]:
    """One dialogue a request, in a random order, with random results."""
    requests = [
        (template, dict(zip(names, spoken, strict=True)))
        for template in scene.requests
        for names in [sorted(set(_FIELD.findall(template)))]
        for spoken in itertools.product(*(scene.fields[name] for name in names))
    ]
    for template, asked in rng.sample(requests, len(requests)):
        drawn = {name: rng.choice(list(values)) for name, values in scene.fields.items()}
        spoken = drawn | asked
        values = {name: scene.fields[name][word] for name, word in spoken.items()}
        answer, tone = rng.choice(scene.answers)
        tool = _json(scene.tool)
        yield ToolDialogue(
            system=f"{rng.choice(_SYSTEMS)} {_FORMAT.format(tool=tool)}",
            tool=tool,
            request=sentence(template.format_map(spoken)),
            call=_json({"name": scene.tool["name"], "arguments": _chosen(scene.arguments, values)}),
            result=_json(_chosen(scene.result, values)),
            answer=sentence(answer.format_map(spoken)),
            tone=tone,
        )


def _chosen(keys: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: values[name] for key, name in keys.items()}


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)

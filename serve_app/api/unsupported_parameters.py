"""Parameters of OpenAI's chat completions that do not work here.

A request that uses one of them is refused by its name: ignored, it would get another reply than it asked for. Values
that ask for nothing are accepted, since clients send them. Hints that do not change a reply (``user``, ``metadata``,
``prediction``, ``prompt_cache_key``, …) are ignored as unknown fields are.
"""

from typing import Annotated, Any

from serve_app.api.strict_json import StrictModel, neutral


class UnsupportedParameters(StrictModel):
    function_call: Annotated[Any, neutral()] = None
    functions: Annotated[Any, neutral()] = None
    logprobs: Annotated[Any, neutral(False)] = None
    moderation: Annotated[Any, neutral()] = None
    n: Annotated[Any, neutral(1)] = None
    parallel_tool_calls: Annotated[Any, neutral(True)] = None
    reasoning_effort: Annotated[Any, neutral("none")] = None
    service_tier: Annotated[Any, neutral("auto", "default")] = None
    store: Annotated[Any, neutral(False)] = None
    top_logprobs: Annotated[Any, neutral(0)] = None
    verbosity: Annotated[Any, neutral("medium")] = None
    web_search_options: Annotated[Any, neutral()] = None

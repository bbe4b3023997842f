"""The messages of a chat completion request, turned into a conversation whose text is checked."""

from collections.abc import Sequence

from opens2s_core.prompt import Spoken, Text, ToolCall
from serve_app.api.chat_messages import (
    AssistantMessage,
    Call,
    ChatMessage,
    RefusalPart,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
    UserPart,
)
from serve_app.api.conversation import EncodedAudio, ParsedContent, ParsedMessage, StoredReply, spoken
from serve_app.api.request_budget import RequestBudget
from serve_app.api.spoken_text import is_blank
from serve_app.api.strict_json import shown
from serve_app.errors import ApiError

Texts = list[str]


def parse_conversation(messages: Sequence[ChatMessage], budget: RequestBudget) -> tuple[ParsedMessage, ...]:
    """Raises :class:`ApiError` naming the field that cannot be used."""
    last = messages[-1]
    if not isinstance(last, UserMessage | ToolMessage):
        message = f"'{last.role}': expected the last message to be the user's or a tool's"
        raise ApiError(400, message, param=f"messages[{len(messages) - 1}].role")
    order = _order_of_results(messages)
    parsed = [_parse_message(message, f"messages[{i}]", budget) for i, message in enumerate(messages)]
    return tuple(parsed[i] for i in order)


def _parse_message(message: ChatMessage, param: str, budget: RequestBudget) -> ParsedMessage:
    match message:
        case SystemMessage():
            return ParsedMessage("system", tuple(map(Text, _texts(message.content, param, budget))))
        case UserMessage():
            return ParsedMessage("user", tuple(_user_content(message.content, param, budget)))
        case AssistantMessage():
            return ParsedMessage("assistant", tuple(_assistant_content(message, param, budget)))
        case ToolMessage():
            return ParsedMessage("tool", tuple(map(Text, _texts(message.content, param, budget))))


def _texts(content: str | Sequence[TextPart | RefusalPart], param: str, budget: RequestBudget) -> Texts:
    if isinstance(content, str):
        return [budget.text(content, f"{param}.content")]
    if not content:
        raise ApiError(400, "empty: expected text", param=f"{param}.content")
    texts = []
    for j, part in enumerate(content):
        text = part.text if isinstance(part, TextPart) else part.refusal
        texts.append(budget.text(text, f"{param}.content[{j}].{part.type}"))
    return texts


def _user_content(content: str | Sequence[UserPart], param: str, budget: RequestBudget) -> list[ParsedContent]:
    if isinstance(content, str):
        parsed: list[ParsedContent] = [Text(budget.text(content, f"{param}.content"))]
    else:
        parsed = [_user_part(part, f"{param}.content[{j}]", budget) for j, part in enumerate(content)]
    if all(isinstance(item, Text) and is_blank(item.text) for item in parsed):
        raise ApiError(400, "blank: expected text or input_audio", param=f"{param}.content")
    return parsed


def _user_part(part: UserPart, param: str, budget: RequestBudget) -> ParsedContent:
    if isinstance(part, TextPart):
        return Text(budget.text(part.text, f"{param}.text"))
    return EncodedAudio(part.input_audio.data, f"{param}.input_audio.data")


def _assistant_content(message: AssistantMessage, param: str, budget: RequestBudget) -> list[ParsedContent]:
    texts = _texts(message.content, param, budget) if message.content is not None else []
    if message.refusal is not None:
        texts.append(budget.text(message.refusal, f"{param}.refusal"))
    tool_calls = message.tool_calls or ()
    calls = [_call(call, f"{param}.tool_calls[{j}].function", budget) for j, call in enumerate(tool_calls)]
    if message.audio is None:
        # A reply may be empty, and then clients send it back with null as its content.
        return [*map(Text, texts), *calls] or [Text("")]
    if message.audio.transcript is not None:
        return [spoken(budget.text(message.audio.transcript, f"{param}.audio.transcript")), *calls]
    if any(texts):
        return [*(Spoken(text) for text in texts if text), *calls]
    return [StoredReply(message.audio.id, f"{param}.audio.id"), *calls]


def _call(call: Call, param: str, budget: RequestBudget) -> ToolCall:
    name = budget.text(call.function.name, f"{param}.name")
    arguments = budget.text(call.function.arguments, f"{param}.arguments")
    try:
        return ToolCall(call.id, name, arguments.strip() or "{}")
    except ValueError as error:
        raise ApiError(400, f"{shown(arguments)}: expected a JSON object", param=f"{param}.arguments") from error


def _order_of_results(messages: Sequence[ChatMessage]) -> list[int]:
    """Indices of the messages, results of tools in the order of their calls: the model has nothing else to match them
    by."""
    order: list[int] = []
    results: dict[str, int | None] = {}  # the message with the result of each call of the last assistant message
    for i, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            if results.get(message.tool_call_id, i) is not None:
                expected = "expected the id of a call of the assistant message before, each once"
                param = f"messages[{i}].tool_call_id"
                raise ApiError(400, f"{shown(message.tool_call_id)}: {expected}", param=param)
            results[message.tool_call_id] = i
            continue
        order += _complete_results(results, i)
        order.append(i)
        calls = (message.tool_calls if isinstance(message, AssistantMessage) else None) or ()
        results = dict.fromkeys(call.id for call in calls)
        if len(results) < len(calls):
            raise ApiError(400, "two calls have the same id", param=f"messages[{i}].tool_calls")
    return order + _complete_results(results, len(messages))


def _complete_results(results: dict[str, int | None], i: int) -> list[int]:
    """Indices of the results of the calls made before message ``i``."""
    indices = [index for index in results.values() if index is not None]
    if len(indices) < len(results):
        missing = next(call for call, index in results.items() if index is None)
        message = f"call {shown(missing)} has no result: expected a tool message after it for each call"
        raise ApiError(400, message, param=f"messages[{i - len(indices) - 1}].tool_calls")
    return indices

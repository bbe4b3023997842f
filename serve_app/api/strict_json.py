"""JSON that clients send, checked field by field."""

import reprlib
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError, from_json

from opens2s_core.audio import SAMPLE_RATE, AudioError
from opens2s_core.prompt import Audio
from serve_app.api.audio_codec import decode_input
from serve_app.config import Limits
from serve_app.errors import ApiError

_SHOWN_CHARS = 60
_repr = reprlib.Repr()
_repr.maxstring = _SHOWN_CHARS


class Wire(BaseModel):
    """Types are not coerced; unknown fields are ignored, as OpenAI's server does."""

    model_config = ConfigDict(strict=True, frozen=True)


Body = TypeVar("Body", bound=Wire)


def parsed(kind: type[Body], body: bytes, limits: Limits) -> Body:
    """The request in ``body``. Raises :class:`ApiError` naming the first field that is wrong."""
    try:
        value = from_json(body)
    except ValueError as error:
        raise ApiError(400, f"the body is not JSON: {error}") from error
    try:
        return kind.model_validate(value, context=limits)
    except ValidationError as error:
        raise _complaint(error) from error


def check_model(asked: str, served: str) -> None:
    """Raises :class:`ApiError` for another model than the one served."""
    if asked != served:
        message = f"model {shown(asked)} does not exist: expected '{served}'"
        raise ApiError(404, message, param="model", code="model_not_found")


def shown(value: Any) -> str:
    """Enough of a value to know it again."""
    text = _repr.repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul", "expected text without NUL characters")
    return text


Words = Annotated[str, AfterValidator(_without_nul)]
"""Text that the model reads."""


def no_more_than(limit: str) -> AfterValidator:
    """A number within the limit of that name, one of :class:`Limits`."""

    def check(number: int, info: ValidationInfo) -> int:
        most = getattr(info.context, limit)
        if number > most:
            raise PydanticCustomError("limit", "expected at most {most}", {"most": most})
        return number

    return AfterValidator(check)


def no_longer_than(limit: str) -> BeforeValidator:
    """A list no longer than the limit of that name, one of :class:`Limits`; its items are not looked at before."""

    def check(value: Any, info: ValidationInfo) -> Any:
        most = getattr(info.context, limit)
        if isinstance(value, list) and len(value) > most:
            raise PydanticCustomError(
                "length", "{count} items: expected at most {most}", {"count": len(value), "most": most}
            )
        return value

    return BeforeValidator(check)


def told_by_field(name: str, expected: str) -> Discriminator:
    """Of a union whose members are tagged ``<value of the field>``."""

    def tag(value: Any) -> str | None:
        kind = value.get(name) if isinstance(value, dict) else None
        return f"<{kind}>" if isinstance(kind, str) else None

    return Discriminator(tag, custom_error_type=f"kind.{name}", custom_error_message=f"expected {expected}")


def told_by_type(expected: str) -> Discriminator:
    """Of a union whose members are tagged ``<str>``, ``<list>`` or ``<dict>``."""

    def tag(value: Any) -> str:
        return f"<{type(value).__name__}>"

    return Discriminator(tag, custom_error_type="kind", custom_error_message=f"expected {expected}")


def _complaint(failed: ValidationError) -> ApiError:
    error = failed.errors(include_url=False)[0]
    path = list(error["loc"])
    kind, _, field = error["type"].partition(".")
    if kind == "kind" and field and isinstance(error["input"], dict):
        path.append(field)
    message = error["msg"][0].lower() + error["msg"][1:]
    if error["type"] not in ("missing", "length"):
        message = f"{shown(error['input'])}: {message}"
    return ApiError(400, message, param=_param(path))


def _param(path: list[int | str]) -> str | None:
    """``messages[0].content[1].text`` from pydantic's path, in which tags of unions stand between the fields."""
    keys = [f"[{key}]" if isinstance(key, int) else f".{key}" for key in path if not str(key).startswith("<")]
    return "".join(keys).removeprefix(".") or None


class Allowance:
    """The text and sound that a request may still hold."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._chars = limits.max_text_chars
        self._seconds = limits.max_audio_seconds

    def words(self, text: str, where: str) -> str:
        """``text`` itself. Raises :class:`ApiError` about the field ``where``."""
        self._chars -= len(text)
        if self._chars < 0:
            message = f"too much text: expected at most {self._limits.max_text_chars} characters in all"
            raise ApiError(400, message, param=where)
        return text

    def sound(self, data: str, where: str) -> Audio:
        """The sound in ``data``, base64 of a file. Raises :class:`ApiError` about the field ``where``."""
        try:
            samples = decode_input(data, max_seconds=self._seconds)
        except AudioError as error:
            raise ApiError(400, str(error), param=where) from error
        self._seconds -= len(samples) / SAMPLE_RATE
        return Audio(samples)

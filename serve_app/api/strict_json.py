"""JSON that clients send, checked field by field."""

import codecs
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

from serve_app.config import Limits
from serve_app.errors import ApiError

_SHOWN_CHARS = 60

_EXPECTED = {
    "model_type": "an object",
    "dict_type": "an object",
    "list_type": "a list",
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "too_long": "at most {max_length} items",
}
"""What is expected where pydantic's own text names a Python type, by the type of its error."""


class StrictModel(BaseModel):
    """Types are not converted; unknown fields are ignored."""

    model_config = ConfigDict(strict=True, frozen=True)


Model = TypeVar("Model", bound=StrictModel)


def parse_json(model: type[Model], body: bytes, limits: Limits) -> Model:
    """The request in ``body``, which may begin with a byte order mark.

    Raises :class:`ApiError` naming the first field that is wrong.
    """
    try:
        value = from_json(body.removeprefix(codecs.BOM_UTF8))
    except ValueError as error:
        raise ApiError(400, f"the body is not JSON: {error}") from error
    return validated(model, value, limits)


def validated(model: type[Model], value: Any, limits: Limits) -> Model:
    """``value`` as the ``model``. Raises :class:`ApiError` naming the first field that is wrong."""
    try:
        return model.model_validate(value, context=limits)
    except ValidationError as error:
        raise _api_error(error) from error


def check_model(requested: str, served: str) -> None:
    """Raises :class:`ApiError` for another model than the one served."""
    if requested != served:
        message = f"model {shown(requested)} does not exist: expected '{served}'"
        raise ApiError(404, message, param="model", code="model_not_found")


class _JsonRepr(reprlib.Repr):
    """Short texts of values, their constants as JSON writes them."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = _SHOWN_CHARS

    def repr_bool(self, value: bool, level: int) -> str:
        return "true" if value else "false"

    def repr_NoneType(self, value: None, level: int) -> str:
        return "null"


_short = _JsonRepr()


def shown(value: Any) -> str:
    """The beginning of a value, for an error message."""
    text = _short.repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul", "expected text without NUL characters")
    return text


ModelText = Annotated[str, AfterValidator(_without_nul)]
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
    """A list no longer than the limit of that name, one of :class:`Limits`; checked before any of its items is."""

    def check(value: Any, info: ValidationInfo) -> Any:
        most = getattr(info.context, limit)
        if isinstance(value, list) and len(value) > most:
            raise PydanticCustomError(
                "length", "{count} items: expected at most {most}", {"count": len(value), "most": most}
            )
        return value

    return BeforeValidator(check)


def neutral(*values: bool | float | str) -> BeforeValidator:
    """A parameter that is not supported: null and those ``values`` which ask for nothing are accepted."""
    expected = " or ".join(["null", *map(shown, values)])

    def check(value: Any) -> Any:
        if value is None or any(type(value) is type(allowed) and value == allowed for allowed in values):
            return value
        raise PydanticCustomError("unsupported", "not supported, expected {expected}", {"expected": expected})

    return BeforeValidator(check)


def discriminated_by(field: str, expected: str) -> Discriminator:
    """For a union whose members are tagged ``<value of the field>``."""

    def tag(value: Any) -> str | None:
        kind = value.get(field) if isinstance(value, dict) else None
        return f"<{kind}>" if isinstance(kind, str) else None

    return Discriminator(tag, custom_error_type=f"kind.{field}", custom_error_message=f"expected {expected}")


def discriminated_by_type(expected: str) -> Discriminator:
    """For a union whose members are tagged ``<str>``, ``<list>`` or ``<dict>``."""

    def tag(value: Any) -> str:
        return f"<{type(value).__name__}>"

    return Discriminator(tag, custom_error_type="kind", custom_error_message=f"expected {expected}")


def _api_error(failed: ValidationError) -> ApiError:
    error = failed.errors(include_url=False)[0]
    path = list(error["loc"])
    kind, _, field = error["type"].partition(".")
    if kind == "kind" and field and isinstance(error["input"], dict):
        path.append(field)
    if error["type"] in _EXPECTED:
        message = f"expected {_EXPECTED[error['type']].format_map(error.get('ctx', {}))}"
    else:
        message = error["msg"][0].lower() + error["msg"][1:]
    if error["type"] not in ("missing", "length"):
        message = f"{shown(error['input'])}: {message}"
    return ApiError(400, message, param=_param(path))


def _param(path: list[int | str]) -> str | None:
    """``messages[0].content[1].text`` from pydantic's path, in which there are also tags of unions and a mark where the
    key of an object is wrong."""
    fields = [key for key in path if key != "[key]" and not str(key).startswith("<")]
    keys = [f"[{key}]" if isinstance(key, int) else f".{key[:_SHOWN_CHARS]}" for key in fields]
    return "".join(keys).removeprefix(".") or None

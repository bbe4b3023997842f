import re

from data_pipeline.synthesis.llm_writer.topics import TOPICS


def test_there_are_at_least_forty_topics_in_both_languages() -> None:
    assert len(TOPICS) >= 40
    assert len(set(TOPICS.values())) == len(TOPICS)
    assert all(name.isascii() for name in TOPICS)
    assert all(re.fullmatch(r"[\u4e00-\u9fff]+", name) for name in TOPICS.values())

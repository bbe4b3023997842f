"""Content words, as the tests count them."""

from data_pipeline.synthesis.embedded_writer.english import words

_FUNCTION_WORDS = frozenset(
    """
    a an the this that these those i me my we us our you your it its he him his she her they them their
    who what which when where how why and or but so if as than then there here of in on at to for from
    with without by about into over up down out off is are was were am be been being do does did have
    has had can could will would should may might must not no yes just only too very all any some one
    more most now again still never ever
    """.split()  # noqa: SIM905
)


def content_words(text: str) -> set[str]:
    return {word.removesuffix("'s") for word in words(text)} - _FUNCTION_WORDS

"""Values of fields that several scenes share, their pronouns, and the ages of users whom they suit."""

from collections.abc import Mapping

from data_pipeline.records import Age


def split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


SIBLINGS = ("sister", "brother")
PARENTS = ("mother", "father")
GRANDPARENTS = ("grandmother", "grandfather")
AUNT_AND_UNCLE = ("aunt", "uncle")
CHILDREN = ("son", "daughter")
GRANDCHILDREN = ("grandson", "granddaughter")
SPOUSES = ("husband", "wife")
ELDERS = (*PARENTS, *GRANDPARENTS, *AUNT_AND_UNCLE)
FAMILY = (*SIBLINGS, *ELDERS, *CHILDREN, *GRANDCHILDREN, *SPOUSES)
NAMES = split("Anna, Emma, Grace, Maria, Sarah, Ben, David, Jack, Leo, Tom")

SOON = split("tomorrow, tonight, on Friday, on Saturday, on Sunday, next week, this weekend, next month")
LATER = split("next week, next month, in the spring, in the summer, in the fall, after the holidays")
PAST = split("yesterday, last night, this morning, last week, on Monday, two days ago")
OFTEN = split("every day, every morning, every evening, every weekend, twice a week, all the time")
DAYS = split("on Monday, on Tuesday, on Wednesday, on Thursday, on Friday, on Saturday, on Sunday")
CLOCK = split("at seven, at eight, at nine, at half past six, at noon, at three, at four, at five")
CITIES = split("London, Paris, Boston, Chicago, Madrid, Berlin, Dublin, Toronto, Denver, Sydney")

FEMALE = frozenset(
    split(
        "sister, mother, grandmother, aunt, daughter, granddaughter, wife, niece, little sister, older sister, "
        "Anna, Emma, Grace, Maria, Sarah"
    )
)
MALE = frozenset(
    split(
        "brother, father, grandfather, uncle, son, grandson, husband, nephew, little brother, older brother, "
        "Ben, David, Jack, Leo, Tom"
    )
)

_ADULT: tuple[Age, ...] = ("adult", "elderly")
AGES_OF_VALUES: Mapping[str, tuple[Age, ...]] = {
    **dict.fromkeys(ELDERS, ("child", "young", "adult")),
    **dict.fromkeys(("little sister", "little brother"), ("child", "young")),
    **dict.fromkeys((*CHILDREN, *SPOUSES, "nephew", "niece"), _ADULT),
    **dict.fromkeys(GRANDCHILDREN, ("elderly",)),
}
"""Values that are not here suit everybody."""

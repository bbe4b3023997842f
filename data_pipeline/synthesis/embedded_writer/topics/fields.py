"""Values of fields that several scenes share, their pronouns, and the ages of users whom they suit."""

from collections.abc import Mapping

from data_pipeline.records import Age


def split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


FAMILY = split(
    "sister, brother, mother, father, grandmother, grandfather, aunt, uncle, son, daughter, grandson, granddaughter, "
    "husband, wife"
)
YOUNGER_FAMILY = split("little sister, little brother, nephew, niece, son, daughter, grandson, granddaughter")
OLDER_FAMILY = split("mother, father, grandmother, grandfather, aunt, uncle, husband, wife")
PEOPLE = split("sister, brother, cousin, best friend, neighbor, aunt, uncle, roommate, daughter, son, grandson")
NAMES = split("Anna, Emma, Grace, Maria, Sarah, Ben, David, Jack, Leo, Tom")

SOON = split("tomorrow, tonight, on Friday, on Saturday, on Sunday, next week, this weekend, next month")
LATER = split("next week, next month, in the spring, in the summer, in the fall, after the holidays")
PAST = split("yesterday, last night, this morning, last week, on Monday, two days ago")
LONG_AGO = split("last month, last summer, last winter, a year ago, two years ago, many years ago")
OFTEN = split("every day, every morning, every evening, every weekend, twice a week, all the time")
DAYS = split("on Monday, on Tuesday, on Wednesday, on Thursday, on Friday, on Saturday, on Sunday")
CLOCK = split("at seven, at eight, at nine, at half past six, at noon, at three, at four, at five")
CITIES = split("London, Paris, Boston, Chicago, Madrid, Berlin, Dublin, Toronto, Denver, Sydney")

FEMALE = frozenset(
    split(
        "sister, mother, grandmother, aunt, daughter, granddaughter, wife, niece, girlfriend, little sister, "
        "big sister, older sister, Anna, Emma, Grace, Maria, Sarah"
    )
)
MALE = frozenset(
    split(
        "brother, father, grandfather, uncle, son, grandson, husband, nephew, boyfriend, little brother, "
        "big brother, older brother, Ben, David, Jack, Leo, Tom"
    )
)

_ADULT: tuple[Age, ...] = ("adult", "elderly")
AGES_OF_VALUES: Mapping[str, tuple[Age, ...]] = {
    **dict.fromkeys(("mother", "father", "aunt", "uncle"), ("child", "young", "adult")),
    **dict.fromkeys(("grandmother", "grandfather"), ("child", "young", "adult")),
    **dict.fromkeys(("little sister", "little brother", "big sister", "big brother"), ("child", "young")),
    **dict.fromkeys(("son", "daughter", "husband", "wife"), _ADULT),
    **dict.fromkeys(("nephew", "niece"), _ADULT),
    **dict.fromkeys(("grandson", "granddaughter", "grandchildren"), ("elderly",)),
    **dict.fromkeys(("boyfriend", "girlfriend", "roommate"), ("young",)),
    **dict.fromkeys(("boss", "colleague", "coworker", "manager"), ("young", "adult")),
    **dict.fromkeys(("teacher", "math teacher", "music teacher"), ("child", "young")),
    **dict.fromkeys(("parents",), ("child", "young", "adult")),
    **dict.fromkeys(("children",), _ADULT),
}
"""Values that are not here suit everybody."""

"""Emotions that a text names."""

import re
from collections.abc import Sequence

from data_pipeline.corpora.manifest import EMOTION_NAMES

_CHINESE_NAMES = {
    name: label
    for label, names in {
        "neutral": "中性 中立 平静",
        "happy": "高兴 快乐 开心 喜悦 愉快",
        "sad": "悲伤 伤心 难过 悲哀",
        "angry": "生气 愤怒",
        "surprised": "惊讶 吃惊 惊喜",
        "fearful": "害怕 恐惧",
        "disgusted": "厌恶 恶心",
        "contemptuous": "轻蔑 蔑视",
        "frustrated": "沮丧 挫败",
        "other": "其他",
    }.items()
    for name in names.split()
}


def emotion_in(text: str, labels: Sequence[str]) -> str | None:
    """The one of ``labels`` that ``text`` names, in any case and also by another name: "sadness" or "悲伤" for "sad".
    None for none, or for several."""
    names = {label.casefold(): label for label in labels}
    for name, label in {**EMOTION_NAMES, **_CHINESE_NAMES}.items():
        if label in labels:
            names.setdefault(name, label)
    found = {label for name, label in names.items() if _names(text.casefold(), name)}
    return found.pop() if len(found) == 1 else None


def _names(text: str, name: str) -> bool:
    """Whether ``name`` is in ``text``, not within another Latin word: there is no space in Chinese."""
    return re.search(rf"(?<![a-z]){re.escape(name)}(?![a-z])", text) is not None

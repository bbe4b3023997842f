"""InstructS2S-200K: spoken instructions and replies in English, made by a language model and a synthesizer."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import yaml

from data_pipeline.corpora.files import CorpusError, CorpusFiles, Listing
from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.corpora.rows import bad_row, split_rounds, with_unique_ids
from data_pipeline.corpora.tables import json_rows
from data_pipeline.records import (
    AudioReference,
    Content,
    Conversation,
    ConversationMessage,
    Reject,
    RejectedRow,
    Role,
)
from opens2s_core.config import ConfigError, parse_config


@dataclass(frozen=True, kw_only=True, slots=True)
class Mapping:
    """Names of files and keys, as ``instructs2s.yaml`` explains them."""

    files: tuple[str, ...]
    id: str
    user_text: str
    user_audio: str
    reply_text: str
    reply_audio: str
    round: str = ""
    turns: str = ""
    role: str = ""
    user_role: str = "user"
    assistant_role: str = "assistant"
    audio_directory: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class InstructS2S:
    """Layout, with the archives extracted::

        instruct_en_200k_data_cosy2.json    [{"id", "conversation": [{"from": "human", "text", "speech": "en/0.wav"},
                                            {"from": "gpt", "text"}]}]
        en/0.wav

    ``mapping`` is the path of a YAML file with other names of files and keys. Where it is empty, the one for the layout
    above is used: ``instructs2s.yaml`` beside this module. Rows of one conversation must follow one another.
    """

    name: ClassVar[str] = "instructs2s"
    card: ClassVar[CorpusCard] = CorpusCard(
        title="InstructS2S-200K",
        homepage="https://huggingface.co/datasets/ICTNLP/InstructS2S-200K",
        licence="not stated",
        consent="No person was recorded: a language model wrote the texts, and a synthesizer speaks them. "
        "Consent of the speakers whose voices the synthesizer has: not stated.",
        languages=("en",),
    )
    mapping: str = ""

    def parts(self, files: CorpusFiles) -> list[str]:
        """One part a manifest."""
        patterns = self._mapping().files
        found = sorted({path for pattern in patterns for path in files.glob(pattern)})
        if not found:
            raise CorpusError(f"{files.root}: expected manifests of InstructS2S-200K: {' or '.join(patterns)}")
        return found

    @with_unique_ids
    def read(self, files: CorpusFiles, part: str) -> Iterator[Conversation | Reject]:
        mapping, listing = self._mapping(), Listing(files)
        id, group = "", list[dict[str, Any]]()
        for number, record in json_rows(files, part):
            if isinstance(record, RejectedRow):
                yield bad_row(f"{part}:{number}", record)
                continue
            if record.get(mapping.id) in (None, ""):
                yield bad_row(f"{part}:{number}", f"no id: expected the key {mapping.id!r}, found {sorted(record)}")
                continue
            if group and not (mapping.round and id == str(record[mapping.id])):
                yield from self._conversation(mapping, listing, id, group)
                group = []
            id = str(record[mapping.id])
            group.append(record)
        if group:
            yield from self._conversation(mapping, listing, id, group)

    def _conversation(
        self, mapping: Mapping, listing: Listing, id: str, records: list[dict[str, Any]]
    ) -> Iterator[Conversation | Reject]:
        if mapping.round:
            records, faults = split_rounds(records, lambda record: str(record.get(mapping.round)))
            yield from (bad_row(f"{id}-{record.get(mapping.round)}", reason) for record, reason in faults)
        if not records:
            return
        try:
            turns = itertools.chain.from_iterable(_turns(mapping, record) for record in records)
            messages = tuple(message for turn in turns for message in _messages(mapping, listing, turn))
            _require_alternation(messages)
        except RejectedRow as error:
            yield bad_row(id, error)
            return
        yield Conversation(id=id, corpus=self.name, split="train", language="en", messages=messages)

    def _mapping(self) -> Mapping:
        if self.mapping:
            path = Path(self.mapping)
            if not path.is_file():
                raise CorpusError(f"{self.mapping} is not a file: expected a mapping in YAML")
            text = path.read_text("utf-8")
        else:
            text = resources.files(__package__).joinpath("instructs2s.yaml").read_text("utf-8")
        try:
            return parse_config(Mapping, yaml.safe_load(text))
        except (ConfigError, yaml.YAMLError) as error:
            raise CorpusError(f"{self.mapping or 'instructs2s.yaml'}: {error}") from error


def _turns(mapping: Mapping, record: dict[str, Any]) -> list[dict[str, Any]]:
    turns = record.get(mapping.turns) if mapping.turns else [record]
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise RejectedRow(f"bad row: {mapping.turns} is {turns!r:.100}, expected a list of objects")
    return turns


def _messages(mapping: Mapping, listing: Listing, turn: dict[str, Any]) -> list[ConversationMessage]:
    """What a turn holds: one message where turns name their role, else the user's and the assistant's."""
    if not mapping.role:
        sides: tuple[Role, ...] = ("user", "assistant")
    elif turn.get(mapping.role) == mapping.user_role:
        sides = ("user",)
    elif turn.get(mapping.role) == mapping.assistant_role:
        sides = ("assistant",)
    else:
        expected = f"{mapping.user_role!r} or {mapping.assistant_role!r}"
        raise RejectedRow(f"bad role: {turn.get(mapping.role)!r}, expected {expected}")
    keys = {
        "user": (mapping.user_text, mapping.user_audio),
        "assistant": (mapping.reply_text, mapping.reply_audio),
    }
    return [
        ConversationMessage(role=side, content=(_content(mapping, listing, turn, side, *keys[side]),)) for side in sides
    ]


def _content(
    mapping: Mapping, listing: Listing, turn: dict[str, Any], side: Role, text_key: str, audio_key: str
) -> Content:
    text, path = turn.get(text_key), turn.get(audio_key) if audio_key else None
    if not isinstance(text, str) or not text.strip():
        raise RejectedRow(f"no text: the {side} has {text!r} in {text_key!r}")
    if path is None and (side == "assistant" or not audio_key):
        return Content(text=text.strip())
    if not isinstance(path, str) or not path:
        raise RejectedRow(f"no audio: the {side} has {path!r} in {audio_key!r}")
    found = listing.find(f"{mapping.audio_directory}/{path}" if mapping.audio_directory else path)
    return Content(text=text.strip(), audio=AudioReference(path=found))


def _require_alternation(messages: Sequence[ConversationMessage]) -> None:
    roles = [message.role for message in messages]
    if roles != ["user", "assistant"] * (len(roles) // 2):
        raise RejectedRow(f"bad order: {' '.join(roles)}, expected user and assistant in turn")

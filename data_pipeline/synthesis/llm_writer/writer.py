"""A writer of dialogues by a language model behind an OpenAI-compatible endpoint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data_pipeline.chat_client import ChatClient, EndpointConfig, Sampling
from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.llm_writer import prompts
from data_pipeline.synthesis.llm_writer.answers import (
    parse_list,
    parse_object,
    spoken_text,
    tone_name,
    without_thought,
)
from data_pipeline.synthesis.llm_writer.prompts import Chat
from data_pipeline.synthesis.llm_writer.topics import GENERAL_TOPICS, TOPICS
from data_pipeline.synthesis.protocols import Person, ReplyRequest, UserTurnRequest, WrittenReply

MAX_INSTRUCTION_CHARACTERS = 1000
"""A longer typed instruction has no spoken form of the same meaning."""

_TURNS = Sampling(max_tokens=4096, temperature=0.7, top_p=0.8)
_REPLIES = Sampling(max_tokens=4096, temperature=0.6, top_p=0.95, thinking=True)
_EDITS = Sampling(max_tokens=1024)


@dataclass(frozen=True, kw_only=True, slots=True)
class LLMWriterConfig:
    """The defaults of ``turns`` and ``replies`` are those that Qwen3 recommends without and with thinking.

    ``turns`` is for what users say, ``replies`` for what the assistant says, ``edits`` for tones, rewritten
    instructions and translations. A Chinese word is 1.5 characters.
    """

    endpoint: EndpointConfig
    turns: Sampling = _TURNS
    replies: Sampling = _REPLIES
    edits: Sampling = _EDITS
    max_turn_words: int = 40
    max_reply_words: int = 60

    def __post_init__(self) -> None:
        if self.max_turn_words < 2 or self.max_reply_words < 2:
            raise ValueError(
                "expected max_turn_words >= 2 and max_reply_words >= 2, got "
                f"{self.max_turn_words} and {self.max_reply_words}"
            )


class LLMWriter:
    """A :class:`~data_pipeline.synthesis.protocols.Writer` of English and Chinese, and an editor of existing text
    instructions.

    Rejected are, besides what :meth:`~data_pipeline.chat_client.ChatClient.complete` and
    :mod:`~data_pipeline.synthesis.llm_writer.answers` reject: ``unsupported language``, and ``truncated`` answers that
    reach ``max_tokens``, as a thought without an opening tag may be all there is. Thoughts are never returned.
    Requests that do not follow the protocol are a ``ValueError``; a wrong key or model is an ``openai.APIStatusError``.
    """

    def __init__(self, config: LLMWriterConfig) -> None:
        self._config = config
        self._client = ChatClient(config.endpoint)

    @property
    def name(self) -> str:
        return f"{self._config.endpoint.model} (prompts {prompts.VERSION})"

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(TOPICS)

    @property
    def general_topics(self) -> tuple[str, ...]:
        return tuple(GENERAL_TOPICS)

    def user_turns(self, requests: Sequence[UserTurnRequest]) -> list[list[str] | RejectedRow]:
        for request in requests:
            if request.count < 1:
                raise ValueError(f"count is {request.count}, expected at least 1")
        return self._client.map(self._user_turns, requests)

    def replies(self, requests: Sequence[ReplyRequest]) -> list[WrittenReply | RejectedRow]:
        for request in requests:
            _check_last(request, "user")
        return self._client.map(self._reply, requests)

    def follow_ups(self, requests: Sequence[ReplyRequest]) -> list[str | RejectedRow]:
        for request in requests:
            _check_last(request, "assistant")
        return self._client.map(self._follow_up, requests)

    def rewrite_for_speech(
        self, instructions: Sequence[str], *, language: str = "en", seed: int = 0
    ) -> list[str | RejectedRow]:
        """Typed instructions in ``language`` as a person would say them. Rejected as ``unsuitable for speech`` are
        those that need code, tables, mathematics, long texts or anything else that must be read."""
        return self._client.map(lambda instruction: self._rewrite(instruction, language, seed), instructions)

    def translate(self, texts: Sequence[str], language: str, *, seed: int = 0) -> list[str | RejectedRow]:
        """Spoken messages in ``language``."""
        return self._client.map(lambda text: self._translate(text, language, seed), texts)

    def _user_turns(self, request: UserTurnRequest) -> list[str]:
        config = self._config
        _check_language(request.language)
        answer = self._ask(prompts.user_turns_chat(request, config.max_turn_words), config.turns, request.seed)
        found = parse_list(answer)
        kept, faults = _usable(found, lambda text: spoken_text(text, request.language, config.max_turn_words))
        new: dict[str, str] = {}
        for turn in kept:
            new.setdefault(turn.casefold(), turn)
        for example in request.examples:
            new.pop(example.casefold(), None)
        if not new:
            reason = str(faults[0]) if faults else "all are examples"
            raise RejectedRow(f"no usable turn: of {len(found)}, the first: {reason}")
        return list(new.values())[: request.count]

    def _reply(self, request: ReplyRequest) -> WrittenReply:
        config = self._config
        _check_language(request.language)
        answer = self._ask(prompts.reply_chat(request, config.max_reply_words), config.replies, request.seed)
        text = spoken_text(answer, request.language, config.max_reply_words)
        tone = tone_name(self._ask(prompts.tone_chat(request, text), config.edits, request.seed))
        return WrittenReply(text=text, tone=tone)

    def _follow_up(self, request: ReplyRequest) -> str:
        config = self._config
        _check_language(request.language)
        person = next((m.person for m in reversed(request.messages) if m.role == "user" and m.person), Person())
        chat = prompts.follow_up_chat(request, person, config.max_turn_words)
        return spoken_text(self._ask(chat, config.turns, request.seed), request.language, config.max_turn_words)

    def _rewrite(self, instruction: str, language: str, seed: int) -> str:
        config = self._config
        _check_language(language)
        if len(instruction) > MAX_INSTRUCTION_CHARACTERS:
            raise RejectedRow(
                f"unsuitable for speech: {len(instruction)} characters, expected at most {MAX_INSTRUCTION_CHARACTERS}"
            )
        chat = prompts.rewrite_chat(instruction, language, config.max_turn_words)
        answer = parse_object(self._ask(chat, config.edits, seed), "suitable", "spoken")
        if not isinstance(answer["suitable"], bool):
            raise RejectedRow(f"bad answer: suitable is {answer['suitable']!r:.100}, expected true or false")
        if not answer["suitable"]:
            raise RejectedRow(f"unsuitable for speech: {str(answer.get('reason', ''))[:100]}")
        return spoken_text(answer["spoken"], language, config.max_turn_words)

    def _translate(self, text: str, language: str, seed: int) -> str:
        _check_language(language)
        answer = self._ask(prompts.translation_chat(text, language), self._config.edits, seed)
        return spoken_text(answer, language, self._config.max_reply_words)

    def _ask(self, chat: Chat, sampling: Sampling, seed: int) -> str:
        """The answer without the thought."""
        completion = self._client.complete(chat, sampling, seed)
        text = without_thought(completion.text)
        if completion.cut:
            raise RejectedRow(f"truncated: the answer does not end within {sampling.max_tokens} tokens")
        if not text:
            raise RejectedRow("empty answer: expected text")
        return text


def _usable(texts: Sequence[str], check: Callable[[str], str]) -> tuple[list[str], list[RejectedRow]]:
    kept, faults = [], []
    for text in texts:
        try:
            kept.append(check(text))
        except RejectedRow as error:
            faults.append(error)
    return kept, faults


def _check_language(language: str) -> None:
    if language not in prompts.LANGUAGES:
        raise RejectedRow(f"unsupported language: {language!r}, expected one of {', '.join(prompts.LANGUAGES)}")


def _check_last(request: ReplyRequest, role: str) -> None:
    roles = [message.role for message in request.messages]
    if roles[-1:] != [role] or not set(roles) <= {"user", "assistant"} or "user" not in roles:
        raise ValueError(f"messages of {roles}, expected those of user and assistant, the last one of the {role}")

"""Judges: what one is, and a language model behind an OpenAI-compatible endpoint as one."""

import string
from dataclasses import replace
from typing import Protocol

from data_pipeline.chat_client import ChatClient, Completion, EndpointConfig, Sampling
from data_pipeline.records import RejectedRow
from data_pipeline.service_names import openai_service
from evaluation.judges.costs import TokenCounter, prompt_tokens
from evaluation.judges.parsing import parse_value
from evaluation.scores import Judgement, Question

ATTEMPTS = 3
"""Requests for one judgement, where answers have no value."""
_REFUSED = "refused: "


class Judge(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def concurrency(self) -> int:
        """How many threads may call :meth:`ask` at once."""
        ...

    @property
    def attempts(self) -> int:
        """The most answers that :meth:`ask` requests."""
        ...

    def ask(self, question: Question, sample: int) -> Judgement:
        """The judgement of that sample, with a value or with an error. Raises what every other question would get."""
        ...


class EndpointJudge:
    """The seed of a sample is ``seed`` + its number; an answer without a value is requested again with others, which no
    other sample of the question has."""

    def __init__(
        self, endpoint: EndpointConfig, *, seed: int = 0, attempts: int = ATTEMPTS, counter: TokenCounter | None = None
    ) -> None:
        if attempts < 1:
            raise ValueError(f"expected attempts >= 1, got {attempts}")
        self._endpoint, self._seed, self._attempts = endpoint, seed, attempts
        self._client = ChatClient(endpoint)
        self._counter = counter or TokenCounter()

    @property
    def name(self) -> str:
        return self._endpoint.model

    @property
    def concurrency(self) -> int:
        return self._endpoint.concurrency

    @property
    def attempts(self) -> int:
        return self._attempts

    def ask(self, question: Question, sample: int) -> Judgement:
        """Errors are those of :func:`~evaluation.judges.parsing.parse_value` and
        :meth:`~data_pipeline.chat_client.ChatClient.complete`, and ``truncated``.

        A wrong key or an unknown model is an ``openai.APIStatusError``.
        """
        sampling = Sampling(
            max_tokens=question.max_tokens, temperature=question.temperature, top_p=question.top_p, thinking=False
        )
        judgement = Judgement(question=question.id, sample=sample, judge=self.name)
        for attempt in range(self._attempts):
            seed = self._seed + sample + attempt * question.samples
            judgement = replace(judgement, seed=seed, text="")
            try:
                completion = self._client.complete(question.messages, sampling, seed)
            except RejectedRow as error:
                judgement = replace(judgement, error=str(error))
                if not str(error).startswith(_REFUSED):
                    return judgement
                judgement = self._add_tokens(judgement, question, Completion(text="", cut=False))
                continue
            judgement = self._add_tokens(replace(judgement, text=completion.text), question, completion)
            try:
                return replace(judgement, value=_value(completion, question), error="")
            except RejectedRow as error:
                judgement = replace(judgement, error=str(error))
        return judgement

    def _add_tokens(self, judgement: Judgement, question: Question, completion: Completion) -> Judgement:
        prompt, generated = completion.prompt_tokens, completion.completion_tokens
        if prompt is None:
            prompt = prompt_tokens(question, self._counter)
        if generated is None:
            generated = self._counter.count(completion.text)
        return replace(
            judgement,
            prompt_tokens=judgement.prompt_tokens + prompt,
            completion_tokens=judgement.completion_tokens + generated,
        )


def _value(completion: Completion, question: Question) -> float:
    if not completion.cut:
        return parse_value(completion.text, question)
    try:
        return parse_value(_without_last_word(completion.text), question)
    except RejectedRow as error:
        raise RejectedRow(f"truncated: the answer ends at {question.max_tokens} tokens; {error}") from None


def _without_last_word(text: str) -> str:
    """Without a number or word at the end that may be a part of a longer one."""
    stripped = text.rstrip(string.digits + ".")
    return stripped if stripped != text else text.rstrip(string.ascii_letters)


def open_judge(
    spec: str,
    *,
    seed: int = 0,
    concurrency: int = 16,
    requests_per_minute: float | None = None,
    counter: TokenCounter | None = None,
) -> EndpointJudge:
    """The judge of ``openai:URL#MODEL``. Raises ``ValueError`` for another ``spec``."""
    if (service := openai_service(spec)) is None:
        raise ValueError(f"unknown judge {spec!r}: expected openai:URL#MODEL")
    endpoint = EndpointConfig(
        base_url=service[0],
        model=service[1],
        concurrency=concurrency,
        requests_per_minute=requests_per_minute,
        template_thinking=False,  # OpenAI's own servers reject the field
    )
    return EndpointJudge(endpoint, seed=seed, counter=counter)

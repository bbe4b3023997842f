"""Endpoints of all kinds answer items; what they fail at is the answer's error."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import openai
import pytest

from evaluation.items import Answer, Item, Turn
from evaluation.models.endpoint import EndpointModel
from evaluation.models.model import ModelConfig
from opens2s_core.audio import decode_audio, encode_audio
from tests.evaluation.chat_endpoint import (
    ChatEndpoint,
    Respond,
    Sent,
    completion,
    last_text,
    pcm,
    refusal,
    stream,
)

TONE = (0.25 * np.sin(np.arange(2400) / 5)).astype(np.float32)
CLIP = encode_audio(TONE, 16_000)
SPOKEN, WRITTEN = ModelConfig(spoken=True), ModelConfig(spoken=False)


def written(*texts: str, id: str = "a") -> Item:
    return Item(id=id, turns=tuple(Turn(text=text) for text in texts))


def answer(respond: Respond, item: Item, config: ModelConfig = WRITTEN, **options: Any) -> Answer:
    with ChatEndpoint(respond).serving() as url:
        return EndpointModel(url, config, **({"retries": 0} | options)).answer(item)


def requests_of(item: Item, reply: Sent, config: ModelConfig = WRITTEN) -> list[dict[str, Any]]:
    endpoint = ChatEndpoint(lambda _: reply)
    with endpoint.serving() as url:
        assert not EndpointModel(url, config, retries=0).answer(item).error
    return endpoint.requests


def test_a_streamed_reply_is_the_sum_of_its_deltas() -> None:
    [reply] = answer(
        lambda _: stream({"role": "assistant"}, {"content": "Hel"}, {"content": "lo"}), written("Hi")
    ).replies
    assert (reply.text, reply.audio) == ("Hello", b"")
    assert reply.first_text is not None
    assert reply.first_text <= reply.seconds
    assert reply.first_audio is None


def test_a_spoken_stream_has_the_samples_of_all_its_deltas_at_the_default_rate() -> None:
    silence = np.zeros(1200, np.float32)
    deltas = [{"audio": {"id": "x", "transcript": "Hel", "data": pcm(silence)}}, {"audio": {"data": pcm(TONE)}}]
    [reply] = answer(lambda _: stream(*deltas, {"audio": {"transcript": "lo"}}), written("Hi"), SPOKEN).replies
    samples, rate = decode_audio(reply.audio)
    assert (reply.text, rate) == ("Hello", 24_000)
    np.testing.assert_allclose(samples, np.concatenate([silence, TONE]), atol=1e-4)
    assert reply.audio_seconds == 3600 / 24_000


def test_the_rate_is_that_of_the_list_of_models_where_it_has_one() -> None:
    listed = Sent(body=b'{"object": "list", "data": [{"id": "ours", "sample_rate": 22050}]}')
    with ChatEndpoint(lambda _: stream({"audio": {"data": pcm(TONE)}}), models=listed).serving() as url:
        [reply] = EndpointModel(url, SPOKEN).answer(written("Hi")).replies
    assert decode_audio(reply.audio)[1] == 22_050


@pytest.mark.parametrize("container", ["wav", "flac"])
def test_a_reply_that_is_not_streamed_has_its_file_decoded(container: str) -> None:
    whole = completion("Hello", encode_audio(TONE, 16_000, container=container))
    [reply] = answer(lambda _: whole, written("Hi"), SPOKEN).replies
    samples, rate = decode_audio(reply.audio)
    assert (reply.text, rate) == ("Hello", 16_000)
    np.testing.assert_allclose(samples, TONE, atol=1e-4)


def test_an_endpoint_that_refuses_streams_is_asked_for_whole_replies_from_then_on() -> None:
    endpoint = ChatEndpoint(lambda body: refusal(400, "no streams") if body["stream"] else completion("Hello"))
    with endpoint.serving() as url:
        model = EndpointModel(url, SPOKEN, retries=0)
        replies = [model.answer(written("Hi")).replies[0].text for _ in range(2)]
    assert replies == ["Hello", "Hello"]
    assert [body["stream"] for body in endpoint.requests] == [True, False, False]
    assert [body["audio"]["format"] for body in endpoint.requests] == ["pcm16", "wav", "wav"]


def test_an_endpoint_that_ignores_the_wish_for_audio_has_replies_of_text() -> None:
    [reply] = answer(lambda _: stream({"content": "Hello"}), written("Hi"), SPOKEN).replies
    assert (reply.text, reply.audio, reply.audio_seconds) == ("Hello", b"", 0.0)


def test_audio_in_choices_of_its_own_is_read() -> None:
    body = b'{"choices": [{"message": {"content": "Hello"}}, {"message": {"audio": {"data": "%s"}}}]}'
    wav = base64.b64encode(encode_audio(TONE, 16_000, container="wav"))
    [reply] = answer(lambda _: Sent(body=body % wav), written("Hi"), SPOKEN).replies
    assert (reply.text, reply.audio_seconds) == ("Hello", len(TONE) / 16_000)


def test_clips_are_sent_as_wav_and_their_transcripts_are_not() -> None:
    item = Item(id="a", turns=(Turn(text="secret", audio=CLIP),), system="Be kind.")
    [body] = requests_of(item, stream({"content": "Hello"}))
    system, user = body["messages"]
    assert system == {"role": "system", "content": "Be kind."}
    [part] = user["content"]
    assert part["input_audio"]["format"] == "wav"
    samples, rate = decode_audio(base64.b64decode(part["input_audio"]["data"]))
    np.testing.assert_array_equal(samples, decode_audio(CLIP)[0])
    assert rate == 16_000
    assert "secret" not in str(body)


def test_an_instruction_is_sent_before_the_clip() -> None:
    item = Item(id="a", turns=(Turn(instruction="Transcribe.", audio=CLIP),))
    [body] = requests_of(item, stream({"content": "Hello"}))
    [message] = body["messages"]
    assert message["content"][0] == {"type": "text", "text": "Transcribe."}
    assert [part["type"] for part in message["content"]] == ["text", "input_audio"]


def test_a_clip_to_transcribe_goes_to_the_endpoint_for_transcripts() -> None:
    item = Item(id="a", turns=(Turn(text="hidden", audio=CLIP),), transcribe=True)
    [request] = requests_of(item, Sent(body=b'{"text": "one two"}'))
    assert 'name="model"\r\n\r\nfirst\r\n' in request["form"]
    assert "hidden" not in request["form"]
    [reply] = answer(lambda _: Sent(body=b'{"text": "one two"}'), item).replies
    assert (reply.text, reply.audio) == ("one two", b"")


def test_an_endpoint_that_does_not_transcribe_ends_the_run() -> None:
    item = Item(id="a", turns=(Turn(audio=CLIP),), transcribe=True)
    with pytest.raises(openai.NotFoundError, match="was not trained to transcribe"):
        answer(lambda _: refusal(404, "it was not trained to transcribe"), item)


def test_the_models_own_replies_are_the_history() -> None:
    endpoint = ChatEndpoint(lambda body: stream({"content": f"reply to {last_text(body)}"}))
    with endpoint.serving() as url:
        replies = EndpointModel(url, WRITTEN).answer(written("one", "two")).replies
    assert [reply.text for reply in replies] == ["reply to one", "reply to two"]
    assert [message["role"] for message in endpoint.requests[1]["messages"]] == ["user", "assistant", "user"]
    assert endpoint.requests[1]["messages"][1] == {"role": "assistant", "content": "reply to one"}


def test_a_spoken_reply_in_the_history_has_the_id_of_its_audio() -> None:
    reply = stream({"audio": {"id": "audio-7", "transcript": "Hello", "data": pcm(TONE)}})
    _, second = requests_of(written("one", "two"), reply, SPOKEN)
    assert second["messages"][1] == {"role": "assistant", "content": "Hello", "audio": {"id": "audio-7"}}


def test_the_model_is_named_or_the_first_one() -> None:
    with ChatEndpoint(lambda _: completion("Hello")).serving() as url:
        named = [EndpointModel(f"{url}{rest}", WRITTEN).fingerprint for rest in ("", "/v1", "/v1#other", "#unlisted")]
    assert [each["model"] for each in named] == ["first", "first", "other", "unlisted"]


def test_an_endpoint_without_a_list_of_models_needs_a_name() -> None:
    with ChatEndpoint(lambda _: completion("Hello"), models=refusal(404)).serving() as url:
        assert EndpointModel(f"{url}#mine", WRITTEN).answer(written("Hi")).replies[0].text == "Hello"
        with pytest.raises(ValueError, match="expected a list of models, or a model's name"):
            EndpointModel(url, WRITTEN)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (Sent(body=b"<html>bad gateway</html>"), "expected a chat completion"),
        (Sent(body=b'{"choices": [{"message": {"content": 3}}]}'), "expected a chat completion"),
        (Sent(body=b'{"choices": {}, "error": {"message": "out of memory"}}'), "out of memory"),
        (Sent(body=b"data: {nonsense\n\n", type="text/event-stream"), "expected a chat completion"),
        (Sent(body=b"[]"), "expected a chat completion"),
        (stream({"audio": {"data": "???"}}), "expected a chat completion"),
        (stream({"audio": {"data": base64.b64encode(b"RIFFgarbage").decode()}}), "expected a chat completion"),
        (stream({"content": "Hel"}, end=False), "the stream ended without"),
        (Sent(body=b'data: {"choices": []}\n\n', type="text/event-stream", cut=True), "the reply was cut"),
        (refusal(400, "too long"), "too long"),
        (refusal(500, "broken"), "broken"),
        (stream({"content": "late"}, delay=1.0), "timed out"),
    ],
)
def test_what_is_wrong_with_a_reply_is_the_error_of_the_answer(sent: Sent, error: str) -> None:
    found = answer(lambda _: sent, written("Hi"), SPOKEN, timeout_seconds=0.3)
    assert error in found.error
    assert found.replies == ()


def test_a_broken_clip_is_the_error_of_its_item_alone() -> None:
    items = [Item(id="bad", turns=(Turn(audio=b"no audio"),)), written("Hi", id="good")]
    with ChatEndpoint(lambda _: completion("Hello")).serving() as url:
        answers = {answer.item: answer for answer in EndpointModel(url, WRITTEN).answers(items)}
    assert answers["bad"].error
    assert answers["good"].replies[0].text == "Hello"


@pytest.mark.parametrize("trouble", [refusal(503), Sent(body=b"data: ", type="text/event-stream", cut=True)])
def test_a_passing_trouble_is_retried(trouble: Sent) -> None:
    left = [trouble]
    found = answer(lambda _: left.pop() if left else stream({"content": "Hello"}), written("Hi"), retries=2)
    assert [reply.text for reply in found.replies] == ["Hello"]


def test_a_wrong_key_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = ChatEndpoint(lambda _: completion("Hello"))
    with endpoint.serving() as url:
        model = EndpointModel(url, WRITTEN)
        endpoint.key = "right"
        with pytest.raises(openai.AuthenticationError):
            list(model.answers([written("Hi", id=str(number)) for number in range(3)]))
        with pytest.raises(openai.AuthenticationError):
            EndpointModel(url, WRITTEN)
        monkeypatch.setenv("OPENAI_API_KEY", "right")
        assert EndpointModel(url, WRITTEN).answer(written("Hi")).replies[0].text == "Hello"


def answer_all(items: Sequence[Item], respond: Respond, concurrency: int) -> tuple[list[Answer], ChatEndpoint]:
    endpoint = ChatEndpoint(respond)
    with endpoint.serving() as url:
        model = EndpointModel(url, ModelConfig(spoken=False, concurrency=concurrency), retries=0)
        return list(model.answers(items)), endpoint


def test_as_many_requests_as_allowed_run_at_once() -> None:
    items = [written(str(number), id=str(number)) for number in range(8)]
    answers, endpoint = answer_all(items, lambda body: stream({"content": last_text(body)}, delay=0.1), 4)
    assert {answer.item: answer.replies[0].text for answer in answers} == {item.id: item.id for item in items}
    assert endpoint.most_running == 4


def test_an_endpoint_that_is_gone_ends_the_run() -> None:
    items = [written("Hi", id=str(number)) for number in range(50)]
    with pytest.raises(ValueError, match="no answer to 20 items in a row"):
        answer_all(items, lambda _: refusal(500), 2)

"""Corpora of dialogues by a language model and a server that clones voices, built by the real job."""

import csv
import itertools
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipeline.dataset import finished_shards, read_rows
from data_pipeline.dataset.reader import read_rejects
from data_pipeline.dialogues.config import SIX_EMOTIONS, BuildConfig, QualityConfig, TextConfig
from data_pipeline.dialogues.schema import SPOKEN, WRITTEN
from data_pipeline.synthesis.seeds import COLUMNS
from opens2s_core.audio import decode_audio, encode_audio
from ray_jobs.build_dialogues import main
from ray_jobs.dialogue_recipes import DIALOGUES
from tests.data_pipeline.chat_server import ChatServer, Reply, Respond, chat_server
from tests.ray_jobs.dialogue_servers import FAST, THOUGHT, UNLIKE, VoiceServer, speak, voice_server, write

pytestmark = pytest.mark.ray

ZERO_SHOT, INSTRUCT = "/inference_zero_shot", "/inference_instruct2"
TRIAL = "Hello, how are you today?"
INSTRUCTIONS = [
    {"text": "tell me how bread is baked at home."},
    {"text": "write code that sorts a list."},
    {"text": "name a good book about the sea."},
    {"text": "怎么种玫瑰花", "language": "zh"},
    {"text": "explain why the sky is blue."},
    {"text": "write code for a web page."},
]


def recipe() -> BuildConfig:
    texts = TextConfig(
        empathetic=12,
        general=4,
        ages=("adult", "elderly"),
        surplus=1.5,
        turns=(0.5, 0.3, 0.2),
        system_share=0.2,
        shard_rows=4,
    )
    return BuildConfig(texts=texts, quality=QualityConfig(dnsmos=False))


@dataclass(frozen=True)
class Built:
    output: Path
    seeds: Path
    chat: ChatServer
    voices: VoiceServer

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.output / "train.jsonl").read_text().splitlines()]

    def rejects(self, stage: str) -> list[str]:
        url = f"file://{self.output / stage}"
        return [reason for shard in finished_shards(url) for reason in read_rejects(url, shard)["reason"].to_pylist()]


def write_seeds(directory: Path) -> Path:
    """A clip of each emotion and gender, all of adults, and the clip of the replies."""
    rows = []
    for emotion, gender in itertools.product(SIX_EMOTIONS, ("female", "male")):
        text, name = f"This is a {emotion} {gender} person.", f"{emotion}-{gender}.flac"
        (directory / name).write_bytes(encode_audio(speak(text, 16_000), 16_000))
        rows.append((name, text, gender, "adult", emotion, "en"))
    with (directory / "seeds.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    (directory / "reply.flac").write_bytes(encode_audio(speak("I am the voice.", 16_000), 16_000))
    (directory / "instructions.jsonl").write_text("\n\n".join(map(json.dumps, INSTRUCTIONS)))
    return directory


def options(built: Built) -> dict[str, str]:
    return {
        "--recipe": "servers",
        "--output": str(built.output),
        "--writer": f"openai:{built.chat.url}#Qwen3-32B",
        "--user-speaker": f"cosyvoice2:{built.voices.url}",
        "--reply-speaker": f"cosyvoice2:{built.voices.url}",
        "--reply-voice": f"{built.seeds}/reply.flac=I am the voice.",
        "--seeds": f"{built.seeds}/seeds.csv",
        "--recogniser": f"openai:{built.voices.url}/v1#whisper-large",
        "--instructions": f"{built.seeds}/instructions.jsonl",
    }


def build(built: Built, **changes: str) -> None:
    given = options(built) | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    main([part for option in given.items() for part in option])


@contextmanager
def servers(directory: Path, respond: Respond = write) -> Iterator[Built]:
    with chat_server(respond) as chat, voice_server() as voices, pytest.MonkeyPatch.context() as patched:
        patched.setitem(DIALOGUES, "servers", recipe)
        yield Built(directory / "corpus", write_seeds(directory), chat, voices)


@pytest.fixture(scope="module")
def built(ray_local: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    with servers(tmp_path_factory.mktemp("servers")) as servers_:
        fails = {0: 429, 1: 500}
        servers_.voices.fails = lambda _, text, tries: fails.get(len(text) % 5, 0) if tries == 1 else 0
        build(servers_)
        yield servers_


def users(line: dict[str, Any]) -> list[dict[str, Any]]:
    return [message for message in line["messages"] if message["role"] == "user"]


def text_of(message: dict[str, Any]) -> str:
    return str(message["content"][0]["text"])


def test_both_kinds_of_dialogues_are_there_and_some_have_several_turns(built: Built) -> None:
    kinds = Counter(line["kind"] for line in built.lines)
    assert kinds == {"empathetic": 10, "general": 4}
    assert {len(users(line)) for line in built.lines} == {1, 2, 3}


def test_users_are_cloned_from_clips_of_their_labels(built: Built) -> None:
    asked = {fields["tts_text"]: fields for path, fields in built.voices.requests if path == ZERO_SHOT}
    for message in (message for line in built.lines for message in users(line)):
        fields = asked[text_of(message)]
        assert message["age"] == "adult"  # there are no clips of elderly people
        assert fields["prompt_text"] == f"This is a {message['emotion']} {message['gender']} person."
        clip, rate = decode_audio(fields["prompt_wav"])
        seed, _ = decode_audio((built.seeds / f"{message['emotion']}-{message['gender']}.flac").read_bytes())
        assert rate == 16_000
        np.testing.assert_allclose(clip, seed, atol=1e-4)


def test_clips_of_the_same_labels_take_turns(built: Built) -> None:
    used = Counter(users(line)[0]["gender"] for line in built.lines if line["kind"] == "general")
    assert used == {"female": 2, "male": 2}


def test_replies_are_spoken_in_their_tone_by_the_clip_of_the_replies(built: Built) -> None:
    asked = defaultdict(set)
    for path, fields in built.voices.requests:
        if path == INSTRUCT:
            asked[fields["tts_text"]].add(fields["instruct_text"])
            np.testing.assert_allclose(decode_audio(fields["prompt_wav"])[0], reply_clip(built), atol=1e-4)
    replies = [message for line in built.lines for message in line["messages"] if message["role"] == "assistant"]
    assert {message["tone"] for message in replies} == {"warm and calm", "cheerful", "gentle"}
    for message in replies:
        assert f"Speak in a {message['tone']} tone.<|endofprompt|>" in asked[text_of(message)]


def reply_clip(built: Built) -> Any:
    return decode_audio((built.seeds / "reply.flac").read_bytes())[0]


def test_thoughts_are_nowhere_in_the_corpus(built: Built) -> None:
    texts = (path.read_bytes() for path in built.output.rglob("*.jsonl"))
    spoken = (fields.get("tts_text", "") for _, fields in built.voices.requests)
    assert all(THOUGHT not in text and "<think" not in text for text in spoken)
    assert all(THOUGHT.encode() not in text and b"<think" not in text for text in texts)


def test_instructions_are_rewritten_translated_or_left_out(built: Built) -> None:
    general = {text_of(users(line)[0]) for line in built.lines if line["kind"] == "general"}
    assert general == {
        "Well, tell me how bread is baked at home.",
        "Well, name a good book about the sea.",
        "Well, explain why the sky is blue.",
        "Please tell me how to grow roses.",
    }
    assert built.rejects("first_messages") == ["unsuitable for speech: code"] * 2


def test_every_line_names_what_made_it(built: Built) -> None:
    for line in built.lines:
        provenance = line["provenance"]
        (person,) = {(user["emotion"], user["gender"]) for user in users(line)}
        clips = {f"file://{built.seeds}/{'-'.join(person)}.flac", f"file://{built.seeds}/reply.flac"}
        assert provenance["writer"] == "Qwen3-32B (prompts 1)"
        assert provenance["speakers"] == ["CosyVoice 2"]
        assert set(provenance["voices"]) == clips
        assert provenance["recognisers"] == ["whisper-large, OpenAI transcriptions"]


def misheard(built: Built) -> list[str]:
    return [reason for reason in built.rejects("dialogues") if reason.startswith("word error: ")]


def test_what_is_transcribed_otherwise_is_left_out_with_its_word_error(built: Built) -> None:
    assert len(misheard(built)) == 2
    assert misheard(built) == built.rejects("dialogues")
    assert all("errors per word, expected at most 0.3" in reason for reason in misheard(built))
    assert all(UNLIKE not in json.dumps(line) for line in built.lines)
    assert {row["word_error"] for row in read_rows(f"file://{built.output}/speech", SPOKEN)} == {0.0}


def test_failed_requests_were_made_again(built: Built) -> None:
    assert Counter(built.chat.tries.values()).keys() >= {1, 2}
    assert Counter(built.voices.tries.values()).keys() >= {1, 2}


def test_a_finished_corpus_needs_no_server(ray_local: str, built: Built) -> None:
    before = len(built.chat.requests), built.voices.tries.total()
    build(built)
    assert (len(built.chat.requests), built.voices.tries.total()) == before


@pytest.mark.slow
def test_after_outages_only_what_is_missing_is_asked_for(ray_local: str, tmp_path: Path) -> None:
    failing = {"writer": True}

    def respond(body: dict[str, Any], tries: int) -> Reply:
        if failing["writer"] and body["messages"][-1]["content"].startswith("[Spoken by a middle-aged"):
            return Reply(body=b"<html>Bad gateway</html>")
        return write(body, tries)

    with servers(tmp_path, respond) as servers_:
        chat, voices = servers_.chat, servers_.voices
        with pytest.raises(SystemExit, match=r"texts: no answer: .*Bad gateway.*Start again when") as stopped:
            build(servers_)
        assert "\n" not in str(stopped.value)
        assert set(voices.count(ZERO_SHOT)) == {TRIAL}

        failing["writer"] = False
        voices.fails = lambda _, text, __: 503 if len(text) % 4 == 0 else 0
        asked = len(chat.requests)
        with pytest.raises(SystemExit, match=r"speech: .*status 503.*Start again when"):
            build(servers_)
        written_again = [request["messages"][-1]["content"] for request in chat.requests[asked:]]
        assert not any(prompt.startswith(("Write 1 different", "Write 2 different")) for prompt in written_again)

        voices.fails = lambda *_: 0
        asked, spoken = len(chat.requests), voices.count(ZERO_SHOT) + voices.count(INSTRUCT)
        whole = {text for text, count in spoken.items() if count}
        build(servers_)
        assert len(chat.requests) == asked
        again = (voices.count(ZERO_SHOT) + voices.count(INSTRUCT)) - spoken
        shards = len(finished_shards(f"file://{servers_.output}/speech"))
        assert again.keys() - whole  # what was missing
        assert len(again.keys() & whole - {TRIAL}) < shards * 4  # and the rest of these shards
        assert len(servers_.lines) >= 13


def test_a_server_that_is_down_ends_the_build_at_once(ray_local: str, tmp_path: Path) -> None:
    with servers(tmp_path) as servers_:
        servers_.voices.fails = lambda _, text, __: 0 if text == TRIAL else 503
        with pytest.raises(SystemExit, match=r"speech: no answer: .*after 5 retries: status 503.*Start again when"):
            build(servers_)
        texts = read_rows(f"file://{servers_.output}/texts", WRITTEN)
        messages = sum(message["spoken"] for row in texts for message in row["messages"])
        tried = {text for _, text in servers_.voices.tries} - {TRIAL}
        assert len(tried) <= 3 * math.ceil(messages / 4)  # three of each shard


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        (
            "user_speaker",
            "embedded",
            "user speaker embedded cannot clone .*seeds.csv: expected cosyvoice2",
        ),
        ("reply_speaker", "embedded", "reply speaker embedded cannot clone .*reply.flac"),
        (
            "reply_voice",
            "piper:joe",
            "expected a reply voice FILE=TEXT, .*, got 'piper:joe",
        ),
        ("reply_voice", "reply.flac=", "expected a reply voice FILE=TEXT"),
        ("reply_voice", "nowhere.flac=Hello.", "nowhere.flac"),
        ("user_speaker", "openai:http://127.0.0.1:9/v1#tts", "expected cosyvoice2:URL or cosyvoice3:URL"),
        ("language", "zh", "no seed clip: language 'zh', emotion 'angry'; the table has no 'zh'"),
        ("writer", "embedded", "instructions: expected a language model as writer"),
        ("general", "0", "instructions.jsonl is for general dialogues, expected general >= 1"),
        ("instructions", "nowhere.jsonl", "nowhere.jsonl"),
    ],
)
def test_what_does_not_fit_is_an_error_before_anything_is_written(
    ray_local: str, tmp_path: Path, option: str, value: str, message: str
) -> None:
    with servers(tmp_path) as servers_:
        with pytest.raises(SystemExit, match=f"^python -m ray_jobs.build_dialogues: .*{message}"):
            build(servers_, **{option: value})
        assert not servers_.chat.requests
        assert not (servers_.output / "first_messages").exists()


def test_a_bad_line_of_instructions_is_named(ray_local: str, tmp_path: Path) -> None:
    with servers(tmp_path) as servers_:
        for line in ("not JSON", '{"text": 7}', '["text"]', '{"prompt": "Hello."}'):
            (tmp_path / "instructions.jsonl").write_text(f'{{"text": "Hello."}}\n\n{line}\n')
            with pytest.raises(SystemExit, match=r"instructions.jsonl, line 3: expected an object with the key text"):
                build(servers_)
        assert not servers_.chat.requests


def test_a_bad_row_and_a_missing_emotion_of_the_seeds_are_named(ray_local: str, tmp_path: Path) -> None:
    with servers(tmp_path) as servers_:
        table = tmp_path / "seeds.csv"
        table.write_text(table.read_text().replace("sad,en", "sadd,en"))
        with pytest.raises(SystemExit, match=r"seeds.csv, row 5: unknown emotion: emotion is 'sadd'"):
            build(servers_)
        table.write_text("\n".join(line for line in table.read_text().splitlines() if "sad" not in line))
        with pytest.raises(SystemExit, match="no seed clip: language 'en', emotion 'sad'; the table has"):
            build(servers_)
        assert not servers_.chat.requests


@pytest.mark.parametrize("status", [401, 404])
def test_a_wrong_key_or_model_is_one_line(ray_local: str, tmp_path: Path, status: int) -> None:
    expected = f"status {status}: .*as the test wants.*expected a server with this path and model that accepts the key"
    with servers(tmp_path, lambda *_: Reply(status=status, headers=FAST)) as servers_:
        with pytest.raises(SystemExit, match=f"/v1/chat/completions: {expected}") as stopped:
            build(servers_)
        assert "\n" not in str(stopped.value)
        for path in (ZERO_SHOT, INSTRUCT, "/v1/audio/transcriptions"):
            servers_.voices.fails = lambda at, *_, path=path: status if at == path else 0
            asked = len(servers_.chat.requests)
            with pytest.raises(SystemExit, match=f"{path}: {expected}") as stopped:
                build(servers_)
            assert "\n" not in str(stopped.value)
            assert len(servers_.chat.requests) == asked

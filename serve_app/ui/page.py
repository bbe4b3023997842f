"""The page: speak, choose a file or write, and hear the reply while it is being made."""

import asyncio
import html
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from opens2s_core.audio import SAMPLE_RATE, AudioError, decode_audio, encode_audio, resample
from serve_app.config import Limits
from serve_app.ui.client import ChatEndpoint, EndpointError, KeyRefusedError, Message, Settings, until_set
from serve_app.ui.conversation import Conversation, IncomingReply, PlayedPosition
from serve_app.ui.layout import LABELS, STYLES, THEME, TITLE, Layout
from serve_app.ui.player import STOP_PLAYBACK, player_value, stopped_value
from serve_app.ui.stored import restore, store

CLIP_AGE_SECONDS = 24 * 3600
"""Recordings and replies are files only so that the browser can replay them; they go after this time."""

Update = dict[Any, Any]


class Page:
    """What happens when the components are used. One for all browsers; a tab's state is its :class:`Conversation`."""

    def __init__(self, endpoint: ChatEndpoint, examples: Mapping[Path, str]) -> None:
        self.endpoint = endpoint
        self.example_files = list(examples)
        # Every tab gets a copy. A factory would be called by an event of its own, which races with `load`.
        self.conversation = gr.State(Conversation())
        self.open_tabs: dict[str | None, Conversation] = {}  # by gradio's name of the session
        self.layout = Layout(examples)

    def connect_events(self, page: gr.Blocks) -> None:
        """Connects the components; called once, inside the page."""
        ui = self.layout
        settings = [ui.temperature, ui.top_p, ui.max_tokens, ui.system_prompt, ui.speak]
        request = [*settings, ui.key, ui.played]
        shown = [ui.chat, ui.player, ui.status, ui.retry, ui.conversation_store]
        # A message interrupts the reply to the one before, so a second event must not wait for the first.
        options: dict[str, Any] = {"trigger_mode": "multiple", "show_progress": "hidden", "js": STOP_PLAYBACK}
        for event, send, source in (
            (ui.composer.submit, self.send_composed, ui.composer),
            (ui.microphone.stop_recording, self.send_recording, ui.microphone),
            (ui.examples.click, self.send_example, ui.examples),
        ):
            outputs = [*shown, ui.access, ui.access_hint, ui.composer, ui.microphone]
            event(send, [self.conversation, source, *request], outputs, **options)
        ui.retry.click(self.retry, [self.conversation, *request], [*shown, ui.access, ui.access_hint], **options)
        gr.on(
            [ui.stop.click, ui.microphone.start_recording], self.stop, [self.conversation, ui.played], shown, **options
        )
        ui.clear.click(self.clear, [self.conversation, ui.played], [*shown, ui.composer, ui.microphone], **options)
        page.load(
            self.load,
            [self.conversation, ui.conversation_store, ui.key_store],
            [ui.chat, ui.status, ui.retry, ui.notice, ui.access, ui.access_hint, ui.key, ui.remember],
            show_progress="hidden",
        )
        page.unload(self.unload)
        gr.on(
            [ui.use_key.click, ui.key.submit],
            self.use_key,
            [ui.key, ui.remember],
            [ui.notice, ui.access, ui.access_hint, ui.key_store],
            show_progress="hidden",
        )
        ui.remember.change(_kept_key, [ui.key, ui.remember], ui.key_store, show_progress="hidden")

    async def load(self, conversation: Conversation, stored: Any, key: str, request: gr.Request) -> Update:
        """What the browser has stored, and what the endpoint says about its voice."""
        ui = self.layout
        self.open_tabs[request.session_hash] = conversation
        if not conversation.messages:  # nothing was sent before the page was loaded
            conversation.messages += restore(stored)
        shown = {ui.chat: self._chat(conversation), ui.status: "", ui.retry: gr.Button(visible=conversation.can_retry)}
        stored_key = {ui.key: key, ui.remember: bool(key)}
        return shown | stored_key | {ui.access: gr.Group(visible=bool(key))} | await self._welcome(key)

    async def unload(self, request: gr.Request) -> None:
        """The tab was closed: nobody waits for its reply any more."""
        if (conversation := self.open_tabs.pop(request.session_hash, None)) is not None:
            conversation.stop(None)

    async def use_key(self, key: str | None, remember: bool) -> Update:
        """Asks the endpoint whether it accepts the key."""
        return {self.layout.key_store: _kept_key(key, remember)} | await self._welcome(_stripped(key))

    async def send_composed(
        self, conversation: Conversation, composed: Mapping[str, Any], *request: Any
    ) -> AsyncGenerator[Update, None]:
        """Sends what was written, and the chosen file with it."""
        async for update in self._send(conversation, composed["text"], next(iter(composed["files"]), None), *request):
            yield update

    async def send_recording(
        self, conversation: Conversation, recording: str | None, *request: Any
    ) -> AsyncGenerator[Update, None]:
        """Sends what the microphone recorded."""
        async for update in self._send(conversation, "", recording, *request):
            yield update

    async def send_example(
        self, conversation: Conversation, example: int, *request: Any
    ) -> AsyncGenerator[Update, None]:
        """Sends one of the examples."""
        async for update in self._send(conversation, "", self.example_files[example], *request):
            yield update

    async def retry(self, conversation: Conversation, *request: Any) -> AsyncGenerator[Update, None]:
        """Sends the last message of the user again."""
        if conversation.can_retry and (message := conversation.withdraw()) is not None:
            async for update in self._reply(conversation, message, *request):
                yield update

    async def stop(self, conversation: Conversation, played: Any) -> Update:
        """Ends the reply; the history keeps what was played of it."""
        reply = conversation.reply
        conversation.stop(_played_position(played))
        return self._shown(conversation) | ({self.layout.player: stopped_value(reply)} if reply else {})

    async def clear(self, conversation: Conversation, played: Any) -> Update:
        """Ends the reply in progress and empties the conversation, here and in the browser's storage."""
        ui = self.layout
        update = await self.stop(conversation, played)
        conversation.clear()
        empty = {ui.composer: None, ui.microphone: None, ui.status: ""}
        return update | self._shown(conversation) | empty

    async def _send(
        self, conversation: Conversation, text: str, file: str | Path | None, *request: Any
    ) -> AsyncGenerator[Update, None]:
        """Sends a message and shows the reply as it comes. A file that cannot be read stays in the composer."""
        ui = self.layout
        if not text.strip() and file is None:
            yield {ui.status: _box("notice", "Say or write something first.")}
            return
        try:
            message = await asyncio.to_thread(_user_message, text, file)
        except AudioError as error:
            yield {ui.status: _box("failure", f"This audio cannot be used: {error}."), ui.microphone: None}
            return
        yield {ui.composer: None, ui.microphone: None}
        async for update in self._reply(conversation, message, *request):
            yield update

    async def _reply(self, conversation: Conversation, message: Message, *request: Any) -> AsyncGenerator[Update, None]:
        ui = self.layout
        *chosen, given_key, played = request
        settings, key = _settings(*chosen), _stripped(given_key)
        conversation.stop(_played_position(played))
        reply = conversation.send(message, speak=settings.speak)
        # The conversation is stored with the message: a reload while the reply comes in can send it again.
        yield self._shown(conversation) | {ui.player: player_value(reply), ui.status: ""}
        problem: Update = {}
        deltas = until_set(reply.stop, self.endpoint.reply(tuple(conversation.messages), settings, key))
        try:
            async with aclosing(deltas):
                async for delta in deltas:
                    reply.add(delta)
                    chat = {ui.chat: self._chat(conversation)} if delta.text else {}
                    yield {ui.player: player_value(reply)} | chat
        except EndpointError as error:
            conversation.fail(reply)
            problem = {ui.status: _box("failure", str(error))}
            if isinstance(error, KeyRefusedError):
                problem = {ui.status: _box("failure", "Enter an API key above.")} | self._refused_key(key)
        if reply is not conversation.reply:  # stopped; what is shown is no longer of this reply
            yield gr.skip()  # gradio sends the last update of a generator again when it ends
            return
        conversation.complete(reply)
        if conversation.failed and not problem:
            problem = {ui.status: _box("notice", "No reply came.")}
        yield self._shown(conversation) | {ui.player: player_value(reply), ui.status: _latency(reply)} | problem

    async def _welcome(self, key: str) -> Update:
        """What the endpoint says about its voice, as a banner, and whether it accepts the key."""
        ui = self.layout
        try:
            voice = await self.endpoint.voice(key)
        except KeyRefusedError:
            return {ui.notice: gr.HTML(visible=False)} | self._refused_key(key)
        except EndpointError as error:
            return {ui.notice: gr.HTML(_box("failure", str(error)), visible=True)}
        notice = gr.HTML(_box("notice", voice.notice), visible=not voice.trained)
        return {ui.notice: notice, ui.access_hint: '<span class="accepted">The key is accepted.</span>' if key else ""}

    def _refused_key(self, key: str) -> Update:
        hint = (
            "The server does not accept this API key." if key.strip() else "The server needs an API key: enter it here."
        )
        return {self.layout.access: gr.Group(visible=True), self.layout.access_hint: _box("failure", hint)}

    def _shown(self, conversation: Conversation) -> Update:
        """The conversation on the page and in the browser's storage."""
        ui = self.layout
        return {
            ui.chat: self._chat(conversation),
            ui.retry: gr.Button(visible=conversation.can_retry),
            ui.conversation_store: store(conversation.messages),
        }

    def _chat(self, conversation: Conversation) -> list[Update]:
        """The conversation as the chat component wants it, with the reply that is coming in."""
        chat: list[Update] = []
        for i, message in enumerate(conversation.messages):
            if message.audio and (message.clip is None or not Path(message.clip).exists()):
                name = "message.flac" if message.role == "user" else "reply.mp3"
                message = replace(message, clip=save_bytes_to_cache(message.audio, name, self.layout.chat.GRADIO_CACHE))
                conversation.messages[i] = message
            parts = [html.escape(message.text), {"path": message.clip} if message.clip else ""]
            chat += [{"role": message.role, "content": part} for part in parts if part]
        if conversation.reply is not None and conversation.reply.total is None:
            chat.append({"role": "assistant", "content": html.escape(conversation.reply.text) or "…"})
        return chat


def _user_message(text: str, file: str | Path | None) -> Message:
    """Raises :class:`AudioError`."""
    if file is None:
        return Message(role="user", text=text.strip())
    samples, rate = decode_audio(Path(file).read_bytes(), max_seconds=Limits().max_audio_seconds)
    if rate > SAMPLE_RATE:  # all that the model's encoder takes
        samples, rate = resample(samples, rate, SAMPLE_RATE), SAMPLE_RATE
    return Message(role="user", text=text.strip(), audio=encode_audio(samples, rate))


def _played_position(played: Any) -> PlayedPosition | None:
    return PlayedPosition(int(played["reply"]), float(played["seconds"])) if played else None


def _stripped(key: str | None) -> str:
    """The key that was entered; gradio has None for a field that was never shown."""
    return (key or "").strip()


def _kept_key(key: str | None, remember: bool) -> str:
    return _stripped(key) if remember else ""


def _settings(temperature: float, top_p: float, max_tokens: int, system_prompt: str, speak: bool) -> Settings:
    return Settings(
        temperature=temperature, top_p=top_p, max_tokens=max_tokens or None, system_prompt=system_prompt, speak=speak
    )


def _box(kind: str, message: str) -> str:
    return f'<div class="{kind}" role="alert">{html.escape(message)}</div>'


def _latency(reply: IncomingReply) -> str:
    times = {"first text": reply.first_text, "first audio": reply.first_audio, "whole": reply.total}
    parts = [f"{name} {seconds:.2f} s" for name, seconds in times.items() if seconds is not None]
    if reply.chunks:
        parts.append(f"{reply.seconds():.1f} s of speech")
    return f'<div class="latency">{" · ".join(parts)}</div>'


def build_page(endpoint: ChatEndpoint, examples: Mapping[Path, str] = MappingProxyType({})) -> gr.Blocks:
    """The page that talks to ``endpoint``. ``examples`` are audio files to send, each with a label."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, CLIP_AGE_SECONDS)) as blocks:
        Page(endpoint, examples).connect_events(blocks)
    return blocks.queue(default_concurrency_limit=None)  # the endpoint limits how many replies it makes at once


def launch(page: gr.Blocks, *, host: str, port: int) -> str:
    """Serves ``page`` in the background until it is closed (``page.close()``); returns its address."""
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        theme=THEME,
        css_paths=STYLES,
        i18n=LABELS,
        footer_links=[],
        max_file_size="50mb",
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
    )
    return address

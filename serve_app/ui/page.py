"""The page: speak, choose a file or write, and hear the reply while it is being made.

``python -m serve_app.ui.page --endpoint http://127.0.0.1:8000`` serves it alone; it knows the model only over HTTP.
"""

import argparse
import html
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from opens2s_core.audio import AudioError, decode_audio, encode_audio
from serve_app.ui.client import (
    Conversation,
    Endpoint,
    EndpointError,
    Reply,
    Settings,
    Turn,
    until,
)
from serve_app.ui.player import HUSH, player, playing

TITLE = "OpenS2S"
INTRODUCTION = (
    "Speak, and the reply begins when you stop; or choose a file or write, and press Send. "
    "The model hears how you say it and answers aloud."
)
DISCLOSURE = "The voice is synthetic, and the empathy is a model's: nobody is listening, and it can be wrong."
CLIP_AGE_SECONDS = 24 * 3600
"""Recordings and replies are files only so that the browser can replay them; they go after this time."""

# System fonts: the page asks no other machine for anything.
THEME = gr.themes.Soft(
    spacing_size="sm",
    primary_hue="teal",
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)
CSS = """
.gradio-container { max-width: 860px !important; margin: 0 auto !important; }
#header h1 { margin: 0 0 .15em; font-size: 1.5em; }
#header p { margin: 0; }
#disclosure { font-size: .9em; font-style: italic; }
#state { align-items: center; }
#chat { min-height: 200px !important; }
#chat .minimal-audio-player { height: 3em; min-width: 15em; }
#chat .icon-button-wrapper { display: none; }
.notice, .failure { border-left: 4px solid; padding: .6em .9em; border-radius: 6px; }
.notice { border-color: #d97706; background: #fef3c7; color: #78350f; }
.failure { border-color: #dc2626; background: #fee2e2; color: #7f1d1d; }
.latency { font-size: .85em; color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; }
"""

Update = dict[Any, Any]


class Page:
    """The components of the page and what happens when they are used. One for all browsers; a tab's state is its
    :class:`Conversation`."""

    def __init__(self, endpoint: Endpoint, examples: Mapping[Path, str]) -> None:
        self.endpoint = endpoint
        self.conversation = gr.State(lambda: Conversation())  # gradio cannot take a dataclass itself as the factory
        gr.HTML(f"<h1>{TITLE}</h1><p>{INTRODUCTION}</p><p id='disclosure'>{DISCLOSURE}</p>", elem_id="header")
        self.notice = gr.HTML(visible=False, elem_id="notice")
        self.chat = gr.Chatbot(
            show_label=False,
            height="34vh",
            render_markdown=False,
            elem_id="chat",
            placeholder="Say something",
            buttons=[],
        )
        with gr.Row(elem_id="state"):
            with gr.Column(scale=0, min_width=110):
                self.player = player()
            with gr.Column(scale=1, min_width=220):
                self.status = gr.HTML(elem_id="status")
        with gr.Row(equal_height=True):
            self.sound = gr.Audio(
                sources=["microphone", "upload"],
                type="filepath",
                label="Speak",
                editable=False,
                buttons=[],
                elem_id="sound",
                scale=1,
            )
            with gr.Column(scale=1):
                self.text = gr.Textbox(
                    "",
                    label="Write",
                    placeholder="… or write here",
                    lines=2,
                    max_lines=4,
                    submit_btn=False,
                    elem_id="text",
                )
                with gr.Row(elem_id="actions"):
                    self.send = gr.Button("Send", variant="primary", min_width=80)
                    self.stop = gr.Button("Stop", min_width=80)
                    self.clear = gr.Button("Clear", min_width=80)
        if examples:
            clips, labels = [[str(path)] for path in examples], list(examples.values())
            gr.Examples(clips, [self.sound], label="Examples", example_labels=labels)
        self._add_settings()

    def _add_settings(self) -> None:
        with gr.Accordion("Settings", open=False):
            self.speak = gr.Radio([("Voice and text", True), ("Text only", False)], value=True, label="Reply with")
            with gr.Row():
                self.temperature = gr.Slider(0, 2, 0, label="Temperature", info="0: always the likeliest word")
                self.top_p = gr.Slider(0.01, 1, 1, label="Top p", info="1: every word may be chosen")
                self.max_tokens = gr.Number(
                    0, label="Most text tokens", info="0: as the endpoint decides", minimum=0, precision=0
                )
            self.system_prompt = gr.Textbox("", label="System prompt", lines=2, placeholder="as the endpoint decides")

    def wire(self, page: gr.Blocks) -> None:
        """Connects the components; called once, inside the page."""
        page.load(self.welcome, None, self.notice)
        asked = [self.conversation, self.text, self.sound]
        settings = [self.temperature, self.top_p, self.max_tokens, self.system_prompt, self.speak]
        # Sending while a reply is spoken interrupts it, so a second event must not wait for the first.
        gr.on(
            [self.send.click, self.text.submit, self.sound.stop_recording],
            self.answer,
            [*asked, *settings],
            [self.chat, self.player, self.status, self.text, self.sound],
            trigger_mode="multiple",
            show_progress="hidden",
        )
        for interruption in (self.stop.click, self.clear.click, self.sound.start_recording):
            interruption(None, js=HUSH)
        gr.on([self.stop.click, self.sound.start_recording], self.interrupt, self.conversation, show_progress="hidden")
        self.clear.click(
            self.forget,
            self.conversation,
            [self.chat, self.status, self.text, self.sound],
            show_progress="hidden",
        )

    async def welcome(self) -> Any:
        """What the endpoint says about its voice, as a banner."""
        try:
            voice = await self.endpoint.voice()
        except EndpointError as error:
            return gr.HTML(_box("failure", str(error)), visible=True)
        return gr.HTML(_box("notice", voice.notice), visible=not voice.trained)

    async def interrupt(self, conversation: Conversation) -> None:
        conversation.stop.set()

    async def forget(self, conversation: Conversation) -> Update:
        """Ends the reply in progress, then empties the conversation."""
        conversation.stop.set()
        async with conversation.speaking:
            conversation.turns.clear()
        return {self.chat: [], self.status: "", self.text: "", self.sound: None}

    async def answer(
        self, conversation: Conversation, text: str, sound: str | None, *settings: Any
    ) -> AsyncGenerator[Update, None]:
        """Sends what was said and shows the reply as it comes; what was said is given back if it cannot be sent."""
        if not text.strip() and sound is None:
            yield {self.status: _box("notice", "Say or write something first.")}
            return
        try:
            said = self._turn(text, sound)
        except AudioError as error:
            yield {self.status: _box("failure", f"That recording cannot be used: {error}.")}
            return
        conversation.stop.set()
        async with conversation.speaking:
            conversation.stop.clear()
            conversation.turns.append(said)
            conversation.replies += 1
            reply = Reply(conversation.replies)
            yield {self.chat: self._shown(conversation, reply), self.status: "", self.text: "", self.sound: None}
            problem: Update = {}
            pieces = until(conversation.stop, self.endpoint.reply(conversation.turns, _settings(*settings)))
            try:
                async with aclosing(pieces):
                    async for piece in pieces:
                        reply.add(piece)
                        chat = {self.chat: self._shown(conversation, reply)} if piece.text else {}
                        yield {self.player: playing(reply)} | chat
            except EndpointError as error:
                problem = {self.status: _box("failure", str(error)), self.text: text, self.sound: sound}
            yield self._ended(conversation, reply) | problem

    def _ended(self, conversation: Conversation, reply: Reply) -> Update:
        """Keeps the exchange, or forgets it where no reply came, so that it is not sent again."""
        reply.end()
        if not reply.text and not reply.chunks:
            conversation.turns.pop()
            return {self.chat: self._shown(conversation), self.status: _box("notice", "No reply came.")}
        clip = None
        if reply.chunks:
            clip = self._clip(encode_audio(reply.samples(), reply.rate, container="wav"), "reply.wav")
        conversation.turns.append(Turn(role="assistant", text=reply.text, clip=clip))
        return {self.chat: self._shown(conversation), self.status: _latency(reply)}

    def _turn(self, text: str, sound: str | None) -> Turn:
        if sound is None:
            return Turn(role="user", text=text.strip())
        wav = encode_audio(*decode_audio(Path(sound).read_bytes()), container="wav")
        return Turn(role="user", text=text.strip(), wav=wav, clip=self._clip(wav, "you.wav"))

    def _clip(self, wav: bytes, name: str) -> str:
        return save_bytes_to_cache(wav, name, self.chat.GRADIO_CACHE)

    def _shown(self, conversation: Conversation, coming: Reply | None = None) -> list[Update]:
        """The conversation as the chat component wants it, and the reply that is still coming."""
        shown: list[Update] = []
        for turn in conversation.turns:
            parts = [html.escape(turn.text), {"path": turn.clip} if turn.clip else ""]
            shown += [{"role": turn.role, "content": part} for part in parts if part]
        if coming is not None:
            shown.append({"role": "assistant", "content": html.escape(coming.text) or "…"})
        return shown


def _settings(temperature: float, top_p: float, max_tokens: int, system_prompt: str, speak: bool) -> Settings:
    return Settings(
        temperature=temperature, top_p=top_p, max_tokens=max_tokens or None, system_prompt=system_prompt, speak=speak
    )


def _box(kind: str, message: str) -> str:
    return f'<div class="{kind}" role="alert">{html.escape(message)}</div>'


def _latency(reply: Reply) -> str:
    times = {"first text": reply.first_text, "first audio": reply.first_audio, "whole": reply.whole}
    parts = [f"{name} {seconds:.2f} s" for name, seconds in times.items() if seconds is not None]
    if reply.chunks:
        parts.append(f"{len(reply.samples()) / reply.rate:.1f} s of speech")
    return f'<div class="latency">{" · ".join(parts)}</div>'


def build_page(endpoint: str, examples: Mapping[Path, str] = MappingProxyType({})) -> gr.Blocks:
    """The page that talks to the HTTP endpoint at ``endpoint`` (without ``/v1``).

    ``examples`` are sound files to send, each with a few words that say what is in it.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, CLIP_AGE_SECONDS)) as blocks:
        Page(Endpoint(endpoint), examples).wire(blocks)
    return blocks.queue(default_concurrency_limit=None)  # how many may speak at once is the endpoint's to say


def launch(page: gr.Blocks, *, host: str, port: int) -> str:
    """Serves ``page`` in the background until it is closed (``page.close()``); returns its address."""
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        theme=THEME,
        css=CSS,
        footer_links=[],
        max_file_size="50mb",
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
    )
    return address


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", default="http://127.0.0.1:8000", help="where /v1/chat/completions is served")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7860)
    arguments = parser.parse_args()
    page = build_page(arguments.endpoint)
    print(f"page: {launch(page, host=arguments.host, port=arguments.port)}", flush=True)
    page.block_thread()


if __name__ == "__main__":
    main()

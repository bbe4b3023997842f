"""The components of the page and how they look; what they do is in :mod:`serve_app.ui.page`."""

from collections.abc import Mapping
from pathlib import Path

import gradio as gr

from serve_app.ui.player import player

TITLE = "OpenS2S"
INTRODUCTION = "Speak, write or choose an audio file. The model hears how you say it and answers aloud."
DISCLOSURE = "The voice is synthetic, and the empathy is a model's: nobody is listening, and it can be wrong."

STYLES = Path(__file__).parent / "static" / "page.css"
# System fonts: the page asks no other machine for anything.
THEME = gr.themes.Soft(
    spacing_size="sm",
    primary_hue="teal",
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)
LABELS = gr.I18n(en={"audio.record": "Speak", "audio.stop": "Stop recording"})
"""Gradio's own names of the microphone's buttons do not say what they start and stop."""

_STORAGE_SECRET = "opens2s"  # not secret: gradio makes another at every start, and the storage would not be readable
_LONGEST_PASTE = 100_000  # characters, beyond which gradio makes a file of pasted text
_SHOW_WHEN_FILLED = "watch('value', () => { if (props.value) element.scrollIntoView({ block: 'nearest' }); });"


class Layout:
    """The components, in the order of the page. One for all browsers."""

    def __init__(self, examples: Mapping[Path, str]) -> None:
        with gr.Row(elem_id="header"):
            gr.HTML(f"<h1>{TITLE}</h1>")
            self.clear = gr.Button("New conversation", size="sm", min_width=140, scale=0, elem_id="clear")
        gr.HTML(
            f"<p class='introduction'>{INTRODUCTION}</p><p class='disclosure'>{DISCLOSURE}</p>", elem_id="introduction"
        )
        self._add_access()
        self.notice = gr.HTML(visible=False, elem_id="notice")
        self.chat = gr.Chatbot(
            show_label=False,
            height="100%",
            render_markdown=False,
            elem_id="chat",
            placeholder="Say something",
            buttons=[],
        )
        with gr.Row(elem_id="state"):
            self.player = player()
            self.stop = gr.Button("Stop reply", variant="stop", size="sm", min_width=100, scale=0, elem_id="stop-reply")
            self.status = gr.HTML(elem_id="status")
            self.retry = gr.Button("Try again", size="sm", min_width=100, scale=0, visible=False, elem_id="retry")
        with gr.Row(elem_id="actions"):
            self.microphone = gr.Audio(
                sources=["microphone"],
                type="filepath",
                show_label=False,
                editable=False,
                buttons=[],
                waveform_options=gr.WaveformOptions(show_recording_waveform=False),
                min_width=220,
                scale=0,
                elem_id="microphone",
            )
            self.composer = gr.MultimodalTextbox(
                show_label=False,
                placeholder="Write a message",
                sources=["upload"],
                file_types=["audio"],
                max_lines=5,
                max_plain_text_length=_LONGEST_PASTE,
                submit_btn="Send",
                min_width=260,
                scale=1,
                elem_id="composer",
            )
        self.examples = gr.Dataset(
            label="Examples: press one to send it",
            components=[gr.Textbox(visible=False)],
            samples=[[label] for label in examples.values()],
            type="index",
            visible=bool(examples),
            elem_id="examples",
        )
        self._add_settings()
        self.conversation_store = gr.BrowserState([], storage_key="opens2s-conversation", secret=_STORAGE_SECRET)
        self.key_store = gr.BrowserState("", storage_key="opens2s-key", secret=_STORAGE_SECRET)
        self.played = gr.JSON(visible=False)

    def _add_access(self) -> None:
        with gr.Group(visible=False, elem_id="access") as self.access:
            self.access_hint = gr.HTML(js_on_load=_SHOW_WHEN_FILLED, elem_id="access-hint")
            with gr.Row():
                self.key = gr.Textbox(
                    type="password",
                    label="API key",
                    placeholder="of this server",
                    max_lines=1,
                    scale=3,
                    elem_id="key",
                )
                with gr.Column(scale=1, min_width=240):
                    self.remember = gr.Checkbox(label="Keep it in this browser")
                    self.use_key = gr.Button("Use this key", size="sm", variant="primary")

    def _add_settings(self) -> None:
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            self.speak = gr.Radio([("Voice and text", True), ("Text only", False)], value=True, label="Reply with")
            with gr.Row():
                self.temperature = gr.Slider(0, 2, 0, label="Temperature", info="0: always the likeliest word")
                self.top_p = gr.Slider(0.01, 1, 1, label="Top p", info="1: every word may be chosen")
                self.max_tokens = gr.Number(
                    0, label="Most text tokens", info="0: as the endpoint decides", minimum=0, precision=0
                )
            self.system_prompt = gr.Textbox("", label="System prompt", lines=2, placeholder="as the endpoint decides")

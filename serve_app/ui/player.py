"""A player for samples that are still coming in (``static/player.js``).

Gradio's own streaming audio needs an ffmpeg binary and waits for whole segments; this one gives 16-bit samples to Web
Audio as they arrive and needs nothing. The browser is sent each chunk once, since the list of chunks only grows while a
reply lasts, and updates that it merges lose nothing.
"""

from importlib.resources import files
from typing import Any

import gradio as gr

from serve_app.ui.conversation import IncomingReply

_TEMPLATE = '<div class="player" role="status"><span class="dot"></span><span class="phase"></span></div>'

STOP_PLAYBACK = """(...inputs) => {
  inputs[inputs.length - 1] = window.stopPlayback ? window.stopPlayback() : null;
  document.querySelector('#chat')?.scrollIntoView({ block: 'nearest' });
  return inputs;
}"""
"""JavaScript for an event listener: silences the player at once and puts how far it played in the last input."""


def player() -> gr.HTML:
    """Plays the samples of an :class:`IncomingReply` while they arrive; a new reply silences the one before it."""
    script = (files("serve_app.ui") / "static" / "player.js").read_text()
    return gr.HTML(html_template=_TEMPLATE, js_on_load=script, elem_id="player")


def player_value(reply: IncomingReply) -> dict[str, Any]:
    """The player's value for what has come in of ``reply``."""
    value = {"reply": reply.number, "rate": reply.rate, "phase": reply.phase, "stopped": False}
    return value | {"chunks": list(reply.chunks)}


def stopped_value(reply: IncomingReply) -> dict[str, Any]:
    """The player's value that silences ``reply``, also where the browser has not shown it yet."""
    return {"reply": reply.number, "rate": reply.rate, "phase": "", "stopped": True, "chunks": []}

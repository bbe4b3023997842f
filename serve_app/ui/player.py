"""A player for samples that are still coming in.

Gradio's own streaming audio needs an ffmpeg binary and waits for whole segments; this one hands 16-bit samples to Web
Audio as they arrive and needs nothing. Its value is ``{"reply": int, "rate": Hz, "chunks": [base64, …]}``: the list
only grows while a reply lasts, so the browser is sent each chunk once, and updates that it merges lose nothing.
"""

from typing import Any

import gradio as gr

from serve_app.ui.client import Reply

HUSH = "() => { document.dispatchEvent(new CustomEvent('hush')); }"
"""JavaScript for an event listener: silence the player at once, whatever the server is doing."""

_TEMPLATE = '<div class="player" role="status"><span class="dot"></span><span class="words"></span></div>'

_CSS = """
.player { display: flex; align-items: center; gap: .6em; min-height: 1.6em; font-size: .9em;
          color: var(--body-text-color-subdued); }
.dot { width: .7em; height: .7em; border-radius: 50%; background: var(--border-color-primary); flex: none; }
.dot.on { background: var(--primary-500); animation: pulse 1s ease-in-out infinite alternate; }
@keyframes pulse { from { transform: scale(.7); opacity: .6 } to { transform: scale(1.15); opacity: 1 } }
"""

# The context runs at the model's own rate: the browser then resamples one continuous signal, where resampling each
# chunk by itself would click at every seam. LEAD is what absorbs jitter after a silence.
_JS = """
const LEAD = 0.08;
let context = null, reply = -1, hushed = -1, taken = 0, end = 0, samples = 0, sources = [];

function show() {
  const dot = element.querySelector('.dot'), words = element.querySelector('.words');
  if (!dot) return;
  const on = context && context.currentTime < end;
  dot.classList.toggle('on', Boolean(on));
  words.textContent = on ? 'speaking' : 'silent';
  element.dataset.samples = samples;
  element.dataset.playing = Boolean(on);
  element.dataset.clock = context ? context.state : 'none';
}

function silence() {
  sources.forEach(source => source.stop());
  sources = [];
  end = 0;
  show();
}

function schedule(base64, rate) {
  const bytes = Uint8Array.from(atob(base64), character => character.charCodeAt(0));
  const view = new DataView(bytes.buffer), count = bytes.length >> 1;
  if (!count) return;
  const buffer = context.createBuffer(1, count, rate), channel = buffer.getChannelData(0);
  for (let i = 0; i < count; i++) channel[i] = view.getInt16(2 * i, true) / 32768;
  const source = context.createBufferSource();
  source.buffer = buffer;
  source.connect(context.destination);
  const now = context.currentTime;
  const start = end > now ? end : now + LEAD;
  source.start(start);
  source.onended = () => { sources = sources.filter(other => other !== source); show(); };
  sources.push(source);
  end = start + count / rate;
  samples += count;
}

function update() {
  const value = props.value;
  if (!value || value.reply === undefined) return show();
  if (value.reply !== reply) { silence(); reply = value.reply; taken = 0; samples = 0; }
  if (reply === hushed || !value.chunks.length) return show();
  if (!context || context.sampleRate !== value.rate) {
    if (context) context.close();
    context = new AudioContext({ sampleRate: value.rate });
  }
  context.resume();
  while (taken < value.chunks.length) schedule(value.chunks[taken++], value.rate);
  show();
}

document.addEventListener('hush', () => { hushed = reply; silence(); });
watch('value', update);
update();
"""


def player() -> gr.HTML:
    """Plays the samples of a :class:`Reply` while they arrive; a new reply silences the one before it."""
    return gr.HTML(html_template=_TEMPLATE, css_template=_CSS, js_on_load=_JS, elem_id="player")


def playing(reply: Reply) -> dict[str, Any]:
    """The player's value for what has come in of ``reply``."""
    return {"reply": reply.number, "rate": reply.rate, "chunks": list(reply.chunks)}

// Plays the samples of a reply while they arrive, and shows what a reply that is awaited is doing.
// The value is {reply: int, rate: Hz, chunks: [base64 of int16], phase: string, stopped: bool}; chunks only grow while a
// reply lasts.

// The context runs at the model's own rate: the browser then resamples one continuous signal, where resampling each
// chunk by itself would click at every seam. LEAD absorbs jitter after a silence.
const LEAD = 0.08;
let context = null, reply = -1, stopped = -1, scheduled = 0, end = 0, samples = 0, rate = 0, sources = [];
let phase = '', phaseSince = 0;

function playing() { return Boolean(context) && context.currentTime < end; }

function show() {
  const dot = element.querySelector('.dot'), label = element.querySelector('.phase');
  if (!dot) return;
  const now = playing(), waiting = phase && reply !== stopped && !now ? phase : '';
  const seconds = Math.floor((performance.now() - phaseSince) / 1000);
  label.textContent = now ? 'speaking' : waiting && seconds > 0 ? `${waiting} · ${seconds} s` : waiting;
  dot.classList.toggle('on', Boolean(now || waiting));
  document.body.classList.toggle('reply-active', Boolean(now || waiting));
  element.dataset.samples = samples;
  element.dataset.playing = now;
  element.dataset.clock = context ? context.state : 'none';
}

function silence() {
  sources.forEach(source => source.stop());
  sources = [];
  end = 0;
}

// Seconds of the current reply that came out of the loudspeaker; null when they are unknown.
function position() {
  if (!context || context.state !== 'running') return samples ? null : { reply, seconds: 0 };
  const heardUntil = context.currentTime - (context.outputLatency || 0);
  return { reply, seconds: Math.max(0, samples / rate - Math.max(0, end - heardUntil)) };
}

function schedule(base64) {
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
  if (value.reply !== reply) {
    silence();
    reply = value.reply;
    scheduled = 0;
    samples = 0;
    phase = '';
  }
  if (value.stopped) { stopped = reply; silence(); }
  if (value.phase !== phase) { phase = value.phase; phaseSince = performance.now(); }
  if (reply === stopped || !value.chunks.length) return show();
  if (!context || context.sampleRate !== value.rate) {
    if (context) context.close();
    context = new AudioContext({ sampleRate: value.rate });
  }
  rate = value.rate;
  context.resume();
  while (scheduled < value.chunks.length) schedule(value.chunks[scheduled++]);
  show();
}

// For the page's event listeners: silence the player at once, whatever the server is doing; returns the position.
window.stopPlayback = () => {
  const at = reply === stopped ? null : position();
  stopped = reply;
  silence();
  show();
  return at;
};
setInterval(show, 250);
watch('value', update);
update();

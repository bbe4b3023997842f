"""Speed of the language models' engines, compared with plain loops over the same modules."""

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, Qwen3ForCausalLM

from opens2s_core.benchmark.engine_models import EngineModels, question, spoken_request
from opens2s_core.benchmark.report import Bound, Measurement
from opens2s_core.benchmark.timing import alternate, now
from opens2s_core.inference.lm_settings import LMSettings
from opens2s_core.inference.messages import HiddenStates, ReplyRequest, Sampling
from opens2s_core.inference.speech_decoder import SpeechDecoderEngine
from opens2s_core.inference.thinker import ThinkerEngine
from opens2s_core.models.thinker import expand_audio_slots

SLOTS = 16
_CONTEXT = 2048
"""Positions allocated in every slot."""
_TOKENS = 64
_UNITS = 192


def language_rows(models: EngineModels, repeats: int) -> list[Measurement]:
    """Each measured ``repeats`` times."""
    thinker, decoder = build_engines(models, SLOTS)
    return [
        *_thinker_rows(thinker, repeats),
        *_decoder_rows(decoder, repeats),
        *_both_rows(thinker, decoder, repeats),
    ]


def build_engines(models: EngineModels, capacity: int) -> tuple[ThinkerEngine, SpeechDecoderEngine]:
    settings = LMSettings(context=_CONTEXT)
    decoder, units = models.opens2s.speech_decoder, models.vocabulary.units
    return (
        ThinkerEngine(models.opens2s.thinker, models.vocabulary, capacity=capacity, settings=settings),
        SpeechDecoderEngine(decoder, units, capacity=capacity, settings=settings),
    )


def _thinker_rows(engine: ThinkerEngine, repeats: int) -> list[Measurement]:
    runs = {"plain": partial(_time_plain_loop, engine)}
    runs |= {str(count): partial(_time_thinker, engine, count) for count in (1, 8, SLOTS)}
    seconds = alternate(runs, repeats, "thinker")
    one, eight, all_slots = seconds["1"], seconds["8"] / 8, seconds[str(SLOTS)] / SLOTS
    ratio, weight_read_ratio = one / seconds["plain"], one / _weight_read_seconds(engine)
    weight_read_bound = Bound("at most", 1.5) if engine.model.device.type == "cuda" else None
    return [
        Measurement(name="thinker, time per token, 1 stream", value=1e3 * one, unit="ms/token"),
        Measurement(
            name="thinker, ratio of time per token, 1 stream to a plain loop with a KV cache",
            value=ratio,
            unit="times",
            bound=Bound("at most", 1.10),
        ),
        Measurement(
            name="thinker, ratio of time per token, 1 stream to reading the weights once",
            value=weight_read_ratio,
            unit="times",
            bound=weight_read_bound,
        ),
        Measurement(name="thinker, throughput, 8 streams", value=1 / eight, unit="tokens/s"),
        Measurement(
            name="thinker, ratio of throughput, 8 streams to 1",
            value=one / eight,
            unit="times",
            bound=Bound("at least", 4),
        ),
        Measurement(name=f"thinker, ratio of throughput, {SLOTS} streams to 1", value=one / all_slots, unit="times"),
    ]


def _decoder_rows(engine: SpeechDecoderEngine, repeats: int) -> list[Measurement]:
    runs = {
        "1": partial(_time_speech_decoder, engine, 1, 0),
        "8": partial(_time_speech_decoder, engine, 8, 0),
        "8 apart": partial(_time_speech_decoder, engine, 8, 3),
        str(SLOTS): partial(_time_speech_decoder, engine, SLOTS, 0),
    }
    rates = {name: 1 / seconds for name, seconds in alternate(runs, repeats, "speech decoder").items()}
    one = rates["1"]
    apart = rates["8 apart"] / one
    return [
        Measurement(name="speech decoder, throughput, 1 stream", value=one, unit="units/s"),
        Measurement(name="speech decoder, throughput, 8 streams", value=rates["8"], unit="units/s"),
        Measurement(
            name="speech decoder, ratio of throughput, 8 streams to 1",
            value=rates["8"] / one,
            unit="times",
            bound=Bound("at least", 4),
        ),
        Measurement(
            name="speech decoder, ratio of throughput, 8 streams opened one after another to 1",
            value=apart,
            unit="times",
        ),
        Measurement(
            name=f"speech decoder, ratio of throughput, {SLOTS} streams to 1",
            value=rates[str(SLOTS)] / one,
            unit="times",
        ),
    ]


def _both_rows(thinker: ThinkerEngine, decoder: SpeechDecoderEngine, repeats: int) -> list[Measurement]:
    runs = {
        "engines": partial(_time_engines, thinker, decoder),
        "generate": partial(_time_generate, thinker, decoder),
    }
    seconds = alternate(runs, repeats, "both, 1 stream")
    speedup = seconds["generate"] / seconds["engines"]
    name = f"LLM and speech decoder, throughput, 1 reply of {_TOKENS} tokens and {_UNITS} units"
    return [
        Measurement(name=f"{name}, engines", value=_TOKENS / seconds["engines"], unit="tokens/s"),
        Measurement(name=f"{name}, engines", value=_UNITS / seconds["engines"], unit="units/s"),
        Measurement(name=f"{name}, generate()", value=_TOKENS / seconds["generate"], unit="tokens/s"),
        Measurement(
            name="LLM and speech decoder, ratio of throughput, engines to generate()",
            value=speedup,
            unit="times",
            bound=Bound("at least", 1.3),
        ),
    ]


def _request(seed: int, tokens: int) -> ReplyRequest:
    return spoken_request(question(seed, seconds=1.0), tokens=tokens, units=_UNITS)


def _prompt(engine: ThinkerEngine, request: ReplyRequest) -> Tensor:
    """(1, T, D)"""
    prompt = engine.prompts.prompt(request.messages, speak=True)
    audio = engine.model.embed_audio(engine.model.audio_features(prompt.audios).to(engine.model.device))
    ids = expand_audio_slots(prompt.input_ids, [len(clip) for clip in audio])
    return engine.model.embed_prompt(torch.tensor([ids], device=engine.model.device), audio)


def _time_thinker(engine: ThinkerEngine, count: int) -> float:
    """Seconds per step in which ``count`` streams decode."""
    streams = [engine.open(_request(seed, _TOKENS + count)) for seed in range(count)]
    for _ in streams:  # each step prefills one prompt
        engine.step()
    started = now()
    for _ in range(_TOKENS - 1):
        engine.step()
    seconds = now() - started
    for stream in streams:
        engine.close(stream)
    return seconds / (_TOKENS - 1)


@torch.inference_mode()
def _time_plain_loop(engine: ThinkerEngine) -> float:
    """Seconds per token of a plain greedy loop with a KV cache."""
    llm, cache = engine.model.llm_model, DynamicCache()
    hidden = _plain_forward(llm, _prompt(engine, _request(0, _TOKENS)), cache)
    started = now()
    for _ in range(_TOKENS - 1):
        token = llm.lm_head(hidden).argmax(-1)
        hidden = _plain_forward(llm, llm.model.embed_tokens(token), cache)
        token.tolist()  # as streaming does
    return (now() - started) / (_TOKENS - 1)


def _plain_forward(llm: Qwen3ForCausalLM, embeddings: Tensor, cache: DynamicCache) -> Tensor:
    output = llm.model(inputs_embeds=embeddings, past_key_values=cache, use_cache=True)
    return cast(Tensor, output.last_hidden_state)[:, -1:]


def _weight_read_seconds(engine: ThinkerEngine) -> float:
    """Seconds to read all weights used for a token once, at the bandwidth of a copy."""
    llm = engine.model.llm_model
    weights = sum(weight.nbytes for weight in llm.model.layers.parameters()) + llm.lm_head.weight.nbytes
    return weights / copy_bandwidth(engine.model.device)


def copy_bandwidth(device: torch.device) -> float:
    """Bytes per second read and written by a copy of 256 MiB."""
    source = torch.zeros(2**28, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def copy() -> float:
        started = now()
        target.copy_(source)
        return now() - started

    return 2 * source.nbytes / alternate({"copy": copy}, 9, "memory")["copy"]


def _groups(engine: SpeechDecoderEngine, count: int) -> Sequence[HiddenStates]:
    size, width = engine.model.config.interleave.hidden_states, engine.model.llm2tts.in_features
    values = np.random.default_rng(0).normal(0, 1, (count, size, width)).astype(np.float32)
    return [HiddenStates(group, final=i == count - 1) for i, group in enumerate(values)]


def _time_speech_decoder(engine: SpeechDecoderEngine, count: int, apart: int) -> float:
    """Seconds per unit of ``count`` streams, opened at intervals of ``apart`` steps."""
    groups = _groups(engine, _UNITS // engine.model.config.interleave.units)
    streams = []
    started = now()
    for _ in range(count):
        streams.append(engine.open(ReplyRequest(messages=(), units=Sampling(max_tokens=_UNITS))))
        for group in groups:
            engine.push(streams[-1], group)
        for _ in range(apart):
            engine.step()
    while engine.step():
        pass
    seconds = now() - started
    for stream in streams:
        engine.close(stream)
    return seconds / (count * _UNITS)


def _time_engines(thinker: ThinkerEngine, decoder: SpeechDecoderEngine) -> float:
    """Seconds for a reply, from its prompt to its last unit."""
    started = now()
    request = _request(0, _TOKENS)
    thinker_stream, decoder_stream = thinker.open(request), decoder.open(request)
    while thinker.step() | decoder.step():
        for message in thinker.chunks(thinker_stream):
            if isinstance(message, HiddenStates):
                decoder.push(decoder_stream, message)
    seconds = now() - started
    thinker.close(thinker_stream)
    decoder.close(decoder_stream)
    return seconds


@torch.inference_mode()
def _time_generate(thinker: ThinkerEngine, decoder: SpeechDecoderEngine) -> float:
    """The same with one ``generate`` call per group of tokens and of units, as published."""
    ratio, model = thinker.model.config.interleave, decoder.model
    started = now()
    text, text_cache = _prompt(thinker, _request(0, _TOKENS)), DynamicCache()
    speech, speech_cache = model.no_speaker(1)[None], DynamicCache()
    rounds = _TOKENS // ratio.hidden_states
    for i in range(rounds):
        ids, hidden_states = _generate(thinker.model.llm_model, text, text_cache, ratio.hidden_states)
        text = torch.cat([text, thinker.model.llm_model.model.embed_tokens(ids)], dim=1)
        speech = torch.cat([speech, model.embed_hidden_states(hidden_states)], dim=1)
        count = ratio.units if i < rounds - 1 else _UNITS - (rounds - 1) * ratio.units
        units, _ = _generate(model.tts_lm_model, speech, speech_cache, count)
        speech = torch.cat([speech, model.embed_units(units)], dim=1)
    return now() - started


def _generate(lm: Any, embeddings: Tensor, cache: DynamicCache, count: int) -> tuple[Tensor, Tensor]:
    """``count`` greedy ids (1, count) after the embeddings (1, T, D), and the hidden states that predicted them."""
    output = lm.generate(
        inputs_embeds=embeddings,
        attention_mask=embeddings.new_ones(embeddings.shape[:2], dtype=torch.long),
        past_key_values=cache,
        max_new_tokens=count,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_hidden_states=True,
    )
    return output.sequences, torch.cat([states[-1][:, -1:] for states in output.hidden_states], dim=1)

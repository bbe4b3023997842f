"""The oracle compared with greedy runs of the published model."""

import copy
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from opens2s_core.inference.reference import GreedyReply, generate_reply, generate_text, generate_units
from opens2s_core.models.opens2s_config import Interleave
from opens2s_core.models.thinker import expand_audio_slots
from opens2s_core.prompt import AUDIO_SLOT
from tests.opens2s_core.opens2s_tiny import EMBEDDINGS, GOLDEN, audio_with_leaks, model, synthetic_features
from tests.opens2s_core.parity import close

RUNS: dict[str, dict[str, Any]] = {run["tag"]: run for run in GOLDEN.values("generate")}
TENSORS = GOLDEN.tensors("generate")


@torch.no_grad()
def embed(ids: Tensor, audio: list[Tensor]) -> Tensor:
    """Embeddings (T, D) of one prompt whose slots are not yet repeated."""
    expanded = expand_audio_slots(ids.tolist(), [len(clip) for clip in audio])
    return model().thinker.embed_prompt(torch.tensor([expanded]), audio)[0]


def golden_prompt(run: dict[str, Any]) -> Tensor:
    audio: list[Tensor] = []
    if run["audio"]:
        with torch.no_grad():
            audio = model().thinker.embed_audio(synthetic_features(TENSORS["speech_mask_sum"].tolist()))
    return embed(TENSORS[f"{run['tag']}.input_ids"][0], audio)


def ratio_of(run: dict[str, Any]) -> Interleave | None:
    """Named in the note of the runs that do not use the checkpoint's own."""
    found = re.search(r"\d+:\d+", run["note"])
    return Interleave.parse(found[0]) if found else None


def golden_reply(run: dict[str, Any], **changes: Any) -> GreedyReply:
    settings: dict[str, Any] = {
        "text_end_ids": run["llm_eos"],
        "unit_end_ids": run["tts_eos"],
        "max_text": run["llm_max_new_tokens"],
        "max_units": run["tts_max_new_tokens"],
        "interleave": ratio_of(run),
    }
    return generate_reply(model(), golden_prompt(run), **settings | changes)


@pytest.mark.parametrize("tag", [tag for tag in RUNS if "spk" not in tag])
def test_it_generates_the_same_as_the_published_model(tag: str) -> None:
    check(tag, golden_reply(RUNS[tag]))


@pytest.mark.parametrize("tag", [tag for tag in RUNS if "spk_honoured" in tag])
def test_a_speaker_that_reaches_the_projection_is_honoured(tag: str) -> None:
    check(tag, golden_reply(RUNS[tag], speaker=TENSORS["spk_emb"].flatten()))


@pytest.mark.parametrize("tag", [tag for tag in RUNS if "spk_given" in tag])
def test_the_published_loop_ignores_a_speaker_and_ours_does_not(tag: str) -> None:
    run = RUNS[tag]
    check(tag, golden_reply(run))
    assert list(golden_reply(run, speaker=TENSORS["spk_emb"].flatten()).unit_ids) != run["units"]


def check(tag: str, generated: GreedyReply) -> None:
    assert [generated.text_ids] == [tuple(row) for row in TENSORS[f"{tag}.sequences"].tolist()]
    assert [generated.unit_ids] == [tuple(row) for row in TENSORS[f"{tag}.units"].tolist()]
    close("generate tts_text_hidden", generated.hidden_states[None], TENSORS[f"{tag}.tts_text_hidden"], EMBEDDINGS)


def batch_prompts(name: str, *, leaky: bool) -> list[Tensor]:
    """Embeddings of every prompt of a batch, without padding; clips are used in reading order."""
    ids = TENSORS[f"{name}.input_ids"]
    mask = TENSORS.get(f"{name}.attention_mask", torch.ones_like(ids)).bool()
    frames = TENSORS["batch.speech_mask_sum"].tolist()[: int((ids == AUDIO_SLOT).sum())]
    with torch.no_grad():
        clips = synthetic_features(frames)
        audio = audio_with_leaks(model().thinker, clips) if leaky else model().thinker.embed_audio(clips)
    rows = []
    for row, valid in zip(ids, mask, strict=True):
        count = int((row == AUDIO_SLOT).sum())
        rows.append(embed(row[valid], audio[:count]))
        audio = audio[count:]
    return rows


def continuation(prompt: Tensor, count: int) -> list[int]:
    return list(generate_text(model().thinker, prompt, end_ids=(), max_tokens=count)[0])


def test_a_masked_batch_is_its_rows_alone() -> None:
    expected = TENSORS["batch_mask.out"].tolist()
    leaky, own = (batch_prompts("batch_mask", leaky=leaky) for leaky in (True, False))
    for with_leak, without, out in zip(leaky, own, expected, strict=True):
        assert continuation(with_leak, len(out)) == out
        if torch.allclose(with_leak, without, atol=1e-5):  # no clips, or none beside a longer one
            assert continuation(without, len(out)) == out


def test_without_a_mask_a_batch_reads_its_padding() -> None:
    rows = batch_prompts("batch_nomask", leaky=True)
    width = max(map(len, rows))
    for row, out in zip(rows, TENSORS["batch_nomask.out"].tolist(), strict=True):
        padded = torch.cat([row.new_zeros(width - len(row), row.shape[1]), row])
        assert continuation(padded, len(out)) == out


def test_one_end_id_or_several_and_the_inputs_stay_unchanged() -> None:
    run = next(run for run in RUNS.values() if len(run["units"]) > 1)
    prompt, speaker = golden_prompt(run), TENSORS["spk_emb"].flatten()
    before, voice = prompt.clone(), speaker.clone()
    text_ends, unit_ends = [run["sequences"][-1]], [run["units"][-1]]
    budgets = {"max_text": run["llm_max_new_tokens"], "max_units": run["tts_max_new_tokens"], "speaker": speaker}
    several = generate_reply(model(), prompt, text_end_ids=text_ends, unit_end_ids=unit_ends, **budgets)
    one = generate_reply(model(), prompt, text_end_ids=text_ends[0], unit_end_ids=unit_ends[0], **budgets)
    assert (one.text_ids, one.unit_ids) == (several.text_ids, several.unit_ids)
    assert (text_ends, unit_ends) == ([run["sequences"][-1]], [run["units"][-1]])
    assert torch.equal(prompt, before)
    assert torch.equal(speaker, voice)


def test_units_are_chosen_among_those_allowed() -> None:
    run = max(RUNS.values(), key=lambda run: len(run["units"]))
    vocabulary = range(model().config.speech_decoder.vocab_size)
    without_first = set(vocabulary) - {run["units"][0]}
    assert golden_reply(run, choices=vocabulary).unit_ids == golden_reply(run).unit_ids
    assert set(golden_reply(run, choices=without_first).unit_ids) <= without_first


@pytest.mark.parametrize(("count", "budget", "read"), [(9, 50, 9), (8, 12, 8), (1, 3, 1), (13, 16, 12), (13, 5, 8)])
def test_without_end_ids_the_unit_budget_is_used_up_and_cuts_the_text(count: int, budget: int, read: int) -> None:
    """Groups of 4 hidden states for 8 units: the group before which no unit is left is the last."""
    prompt = torch.zeros(1, model().config.llm.hidden_size)
    generated = generate_reply(
        model(),
        prompt,
        text_end_ids=(),
        unit_end_ids=(),
        max_text=count,
        max_units=budget,
        interleave=Interleave(4, 8),
    )
    assert len(generated.unit_ids) == budget
    assert len(generated.text_ids) == len(generated.hidden_states) == read


def test_the_lowest_of_equally_likely_units_is_generated() -> None:
    decoder = copy.deepcopy(model().speech_decoder)
    decoder.tts_lm_model.lm_head.weight = nn.Parameter(torch.zeros_like(decoder.tts_lm_model.lm_head.weight))
    hidden_states = torch.randn(2, decoder.config.llm.hidden_size)
    units, _ = generate_units(decoder, hidden_states, end_ids=0, max_units=3, choices=(9, 5, 7))
    assert units == (5, 5, 5)

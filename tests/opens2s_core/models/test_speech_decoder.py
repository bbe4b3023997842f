import pytest
import torch
from torch import Tensor

from opens2s_core.models.opens2s_config import Interleave
from opens2s_core.prompt import IGNORED, SPEAKER_DIM
from opens2s_core.training.batch import spoken_runs
from tests.opens2s_core.opens2s_tiny import CONFIG, EMBEDDINGS, GOLDEN, model
from tests.opens2s_core.parity import close

RATIOS = {"cfg": CONFIG.interleave, "alt": Interleave.parse(GOLDEN.values("facts")["alt_interleave"])}


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return GOLDEN.tensors("prepare_tts")


@pytest.mark.parametrize("name", RATIOS)
@torch.no_grad()
def test_replies_are_read_in_the_published_order(golden: dict[str, Tensor], name: str) -> None:
    decoder = model().speech_decoder
    hidden = golden["hidden_states"].flatten(0, 1)
    runs = spoken_runs(golden["token_types"].tolist())
    width = golden[f"{name}.labels"].shape[1]
    for i, run in enumerate(runs):
        units = golden["speech_units"][i][golden["speech_units_mask"][i].bool()]
        speaker = decoder.embed_speaker(golden["spk_embs"][i])  # (1, D)
        parts = torch.cat([speaker, decoder.embed_hidden_states(hidden[run]), decoder.embed_units(units)])
        labels = torch.cat([torch.full((1 + len(run),), IGNORED), units])
        order = torch.from_numpy(RATIOS[name].order(len(run), len(units)))
        padding = width - len(order)
        inputs = torch.cat([parts[order], parts.new_zeros(padding, parts.shape[1])])
        close(f"prepare_tts.{name}.inputs_embeds", inputs, golden[f"{name}.inputs_embeds"][i], EMBEDDINGS)
        assert golden[f"{name}.labels"][i].tolist() == labels[order].tolist() + [IGNORED] * padding
        assert golden[f"{name}.attention_mask"][i].tolist() == [1] * len(order) + [0] * padding
    assert len(runs) == len(golden["speech_units"])


@torch.no_grad()
def test_speakers_are_embedded_as_published(golden: dict[str, Tensor]) -> None:
    speakers = model().speech_decoder.embed_speaker(golden["spk_embs"])
    assert speakers.shape[:2] == golden["spk_embs"].shape[:2]
    close("prepare_tts.speakers", speakers, golden["cfg.inputs_embeds"][:, :1], EMBEDDINGS)
    unknown = ~golden["spk_embs"].any(-1)[:, 0]
    bias = model().speech_decoder.tts_lm_model.spk_ln.bias
    torch.testing.assert_close(speakers[unknown], bias.expand_as(speakers[unknown]))


@torch.no_grad()
def test_an_unknown_speaker_is_the_zero_vector() -> None:
    decoder = model().speech_decoder
    torch.testing.assert_close(decoder.no_speaker(2), decoder.embed_speaker(torch.zeros(2, SPEAKER_DIM)))
    half = decoder.embed_speaker(torch.ones(1, SPEAKER_DIM, dtype=torch.float64))
    torch.testing.assert_close(half, decoder.embed_speaker(torch.ones(1, SPEAKER_DIM)))

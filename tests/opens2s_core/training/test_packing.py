from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from transformers import Qwen3Config, Qwen3ForCausalLM

from opens2s_core.models import packed_attention
from opens2s_core.models.packed_attention import PACKED
from opens2s_core.training.packing import Packing, pack, packed_hidden_states

WIDTH = 16


def tiny_lm(kv_heads: int = 2, **changes: Any) -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=20,
        hidden_size=WIDTH,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=kv_heads,
        head_dim=8,
        **changes,
    )
    lm = Qwen3ForCausalLM(config)
    for parameter in lm.parameters():
        torch.nn.init.normal_(parameter, 0, 0.5)
    return lm


def with_lora(lm: Qwen3ForCausalLM) -> Qwen3ForCausalLM:
    from peft import LoraConfig, inject_adapter_in_model

    inject_adapter_in_model(LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False), lm)
    return lm


def each_alone(lm: Qwen3ForCausalLM, embeddings: Tensor, lengths: list[int]) -> Tensor:
    """By transformers' own attention."""
    own = lm.model.config._attn_implementation
    lm.model.set_attn_implementation("sdpa")
    hidden = [lm.model(inputs_embeds=one[None]).last_hidden_state[0] for one in embeddings.split(lengths)]
    lm.model.set_attn_implementation(own)
    return torch.cat(hidden)


def gradients(lm: Qwen3ForCausalLM, hidden: Tensor) -> dict[str, Tensor]:
    lm.zero_grad()
    weights = torch.linspace(-1, 1, hidden.numel()).view_as(hidden)
    (hidden * weights).sum().backward()
    return {
        name: parameter.grad.clone() for name, parameter in lm.model.named_parameters() if parameter.grad is not None
    }


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_a_packing_says_where_each_sequence_is(lengths: list[int]) -> None:
    packing = pack(lengths)
    assert packing.starts.dtype == torch.int32
    assert packing.starts.diff().tolist() == lengths
    assert packing.positions.tolist() == [i for length in lengths for i in range(length)]
    assert packing.longest == max(lengths)


@pytest.mark.parametrize("lengths", [[], [3, 0]])
def test_empty_sequences_cannot_be_packed(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="expected one sequence or more, of one position or more each"):
        pack(lengths)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5))
@settings(max_examples=10)
@torch.no_grad()
def test_packed_sequences_are_each_alone(kv_heads: int, lengths: list[int]) -> None:
    lm, embeddings = tiny_lm(kv_heads), torch.randn(sum(lengths), WIDTH)
    hidden = packed_hidden_states(lm.model, embeddings, pack(lengths))
    torch.testing.assert_close(hidden, each_alone(lm, embeddings, lengths), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_are_those_of_the_sequences_alone(lora: bool, checkpointing: bool) -> None:
    lengths, embeddings = [3, 1, 7, 2], torch.randn(13, WIDTH, requires_grad=True)
    lm = with_lora(tiny_lm()) if lora else tiny_lm()
    expected = gradients(lm, each_alone(lm, embeddings, lengths))
    wanted, embeddings.grad = embeddings.grad, None
    assert any("lora_A" in name for name in expected) == lora
    if checkpointing:
        lm.train()
        lm.gradient_checkpointing_enable()
    ours = gradients(lm, packed_hidden_states(lm.model, embeddings, pack(lengths)))
    torch.testing.assert_close(embeddings.grad, wanted, atol=1e-4, rtol=1e-4)
    assert set(ours) == set(expected)
    for name, grad in ours.items():
        torch.testing.assert_close(grad, expected[name], atol=1e-4, rtol=1e-4, msg=name)


@pytest.mark.parametrize("changed", range(4))
@torch.no_grad()
def test_no_sequence_attends_to_another(changed: int) -> None:
    lm, lengths, embeddings = tiny_lm(), [3, 1, 7, 2], torch.randn(13, WIDTH)
    before = packed_hidden_states(lm.model, embeddings, pack(lengths)).split(lengths)
    embeddings.split(lengths)[changed].normal_()
    after = packed_hidden_states(lm.model, embeddings, pack(lengths)).split(lengths)
    assert [torch.equal(*pair) for pair in zip(before, after, strict=True)] == [i != changed for i in range(4)]


@torch.no_grad()
def test_a_model_with_packed_attention_still_takes_padded_batches() -> None:
    lm, embeddings = tiny_lm(), torch.randn(2, 5, WIDTH)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    expected = lm.model(inputs_embeds=embeddings, attention_mask=mask).last_hidden_state[mask.bool()]
    packed_hidden_states(lm.model, embeddings[0], pack([5]))
    assert lm.config._attn_implementation == PACKED
    ours = lm.model(inputs_embeds=embeddings, attention_mask=mask).last_hidden_state[mask.bool()]
    assert torch.equal(ours, expected)
    assert PACKED not in str(lm.config.to_dict())


def test_a_model_with_sliding_windows_is_refused() -> None:
    lm = tiny_lm(use_sliding_window=True, sliding_window=4, max_window_layers=1)
    with pytest.raises(ValueError, match=r"layers of types \['sliding_attention'\]: expected full attention"):
        packed_hidden_states(lm.model, torch.randn(3, WIDTH), pack([3]))


@pytest.mark.parametrize("causal", [False, True])
def test_the_kernel_gets_what_it_computes_attention_from(monkeypatch: pytest.MonkeyPatch, causal: bool) -> None:
    """The kernel itself runs on GPUs alone; here, its documented meaning."""

    def varlen_attn(
        query: Tensor, key: Tensor, value: Tensor, starts: Tensor, key_starts: Tensor, longest: int, longest_key: int,
        *, scale: float, window_size: tuple[int, int],
    ) -> Tensor:  # fmt: skip
        assert (longest, longest_key) == (5, 5)
        assert {query.dtype, key.dtype, value.dtype} == {torch.bfloat16}
        assert starts.equal(key_starts)
        assert window_size == (-1, 0 if causal else -1)
        parts = []
        for start, end in zip(starts.tolist(), starts.tolist()[1:], strict=False):
            q, k, v = (states[start:end].transpose(0, 1).float() for states in (query, key, value))
            parts.append(
                functional.scaled_dot_product_attention(q, k, v, scale=scale, is_causal=causal, enable_gqa=True)
            )
        return torch.cat([part.transpose(0, 1) for part in parts]).to(query.dtype)

    monkeypatch.setattr(packed_attention, "varlen_attn", varlen_attn)
    module = tiny_lm().model.layers[0].self_attn
    module.is_causal = causal
    query, key, value = torch.randn(1, 4, 8, 8), torch.randn(1, 2, 8, 8), torch.randn(1, 2, 8, 8).bfloat16()
    packing = pack([2, 5, 1])
    kernel = packed_attention._varlen(query, key, value, packing, 0.3, causal=causal)
    expected, _ = packed_attention.packed_attention(
        module, query, key, value.float(), None, packing, dropout=0.0, scaling=0.3
    )
    torch.testing.assert_close(kernel.float(), expected, atol=2e-2, rtol=2e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="flash attention needs a GPU")
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_the_kernel_of_a_gpu_gives_the_same_values_and_gradients(kv_heads: int) -> None:
    lengths, embeddings = [3, 100, 1, 40], torch.randn(144, WIDTH)
    exact, half = tiny_lm(kv_heads).cuda(), tiny_lm(kv_heads).bfloat16().cuda()
    packing: Packing = pack(lengths).to("cuda")
    hidden, ours = (packed_hidden_states(lm.model, embeddings.to(lm.dtype).cuda(), packing) for lm in (exact, half))
    assert functional.cosine_similarity(hidden, ours.float(), dim=1).min() > 0.98
    hidden.pow(2).sum().backward()
    ours.float().pow(2).sum().backward()
    for (name, own), other in zip(exact.model.named_parameters(), half.model.parameters(), strict=True):
        if own.grad is not None:
            assert functional.cosine_similarity(own.grad.flatten(), other.grad.float().flatten(), dim=0) > 0.95, name

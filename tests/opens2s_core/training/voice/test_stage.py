import pytest
import torch
from torch.nn import functional

from opens2s_core.training.voice.stage import StageConfig, autocast

CPU = torch.device("cpu")


@pytest.mark.parametrize("mask", [None, torch.ones(7, 7, dtype=torch.bool).tril(), torch.randn(7, 7)])
def test_attention_is_computed_in_float32_under_autocast(mask: torch.Tensor | None) -> None:
    queries, keys, values = torch.randn(3, 2, 7, 8, generator=torch.Generator().manual_seed(0))
    exact = functional.scaled_dot_product_attention(queries, keys, values, mask)
    with autocast(StageConfig(steps=1, bf16=True), CPU):
        ours = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        product = queries @ keys.transpose(-1, -2)
    assert torch.equal(ours, exact)
    assert product.dtype == torch.bfloat16


def test_attention_returns_the_type_it_is_given() -> None:
    queries = torch.randn(1, 3, 4).bfloat16()
    with autocast(StageConfig(steps=1, bf16=True), CPU):
        assert functional.scaled_dot_product_attention(queries, queries, queries).dtype == torch.bfloat16


def test_without_bf16_nothing_is_cast() -> None:
    x = torch.randn(3, 3)
    with autocast(StageConfig(steps=1), CPU):
        assert (x @ x).dtype == torch.float32

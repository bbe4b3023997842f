import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from opens2s_core.config import ConfigError
from opens2s_core.training.distillation import (
    DistillationConfig,
    distillation_sum,
    js_sum,
    kl_sum,
    rank_sum,
    reverse_kl_sum,
    soft_ranks,
    tvd_sum,
)

_ALL = [
    DistillationConfig(loss="kl"),
    DistillationConfig(loss="reverse_kl"),
    DistillationConfig(loss="js"),
    DistillationConfig(loss="tvd"),
    *(DistillationConfig(loss="rlkd", rank_base=base, top_k=3) for base in ("kl", "reverse_kl", "js", "tvd")),
]


def _random(rows: int, words: int, seed: int, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(rows, words, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _logits(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def _ranks(*values: float) -> list[float]:
    return soft_ranks(_logits([*values]), torch.ones(1, len(values), dtype=torch.bool))[0].tolist()


# Teacher (3/4, 1/4) and student (1/4, 3/4): every term can be written out.
_TEACHER, _STUDENT = _logits([math.log(3), 0.0]), _logits([0.0, math.log(3)])


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (kl_sum, 3 / 4 * math.log(3) - 1 / 4 * math.log(3)),
        (reverse_kl_sum, 3 / 4 * math.log(3) - 1 / 4 * math.log(3)),
        # to the mixture (1/2, 1/2), the same from both sides
        (js_sum, 3 / 4 * math.log(3 / 2) + 1 / 4 * math.log(1 / 2)),
        (tvd_sum, 1 / 2),
    ],
)
def test_divergences_of_two_words(loss, expected) -> None:
    torch.testing.assert_close(loss(_TEACHER, _STUDENT).item(), expected)


def test_kl_starts_from_the_teacher() -> None:
    teacher, student = _logits([math.log(9), 0.0]), _logits([0.0, 0.0])  # (0.9, 0.1) and (0.5, 0.5)
    forward = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    backward = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert kl_sum(teacher, student).item() == pytest.approx(forward)
    assert reverse_kl_sum(teacher, student).item() == pytest.approx(backward)
    assert distillation_sum(teacher, student, DistillationConfig(loss="kl")).item() == pytest.approx(forward)


def test_values_that_are_one_apart_have_their_ranks() -> None:
    assert _ranks(5.0, 1.0, 2.0, -7.0) == [4.0, 2.0, 3.0, 1.0]


def test_close_values_share_their_ranks() -> None:
    # 0.4 apart: the mean of both stays 1.5, and their difference is that of the values.
    assert _ranks(0.0, 0.4) == pytest.approx([1.3, 1.7])
    # 0.6 and 0.3 apart around the mean 1.0; all three are pooled: values - mean + 2.
    assert _ranks(1.6, 0.4, 1.0) == pytest.approx([2.6, 1.4, 2.0])
    # The two small ones share ranks 1 and 2, the large one is alone.
    assert _ranks(9.0, 0.5, 0.0) == pytest.approx([3.0, 1.75, 1.25])
    assert _ranks(2.0, 2.0, 2.0) == pytest.approx([2.0, 2.0, 2.0])


@settings(deadline=None, max_examples=25)
@given(values=st.lists(st.floats(-4, 4), min_size=1, max_size=8))
def test_soft_ranks_are_the_projection_onto_the_permutations(values: list[float]) -> None:
    ranks, values = torch.tensor(_ranks(*values)).double(), torch.tensor(values).double()
    n = len(values)
    corners = torch.arange(1, n + 1).double()
    # The ranks are in the convex hull of the permutations: no sum of the largest exceeds that of a permutation.
    excess = (ranks.sort(descending=True).values - corners.flip(0)).cumsum(0)
    assert excess.max() <= 1e-5
    assert excess[-1].abs() <= 1e-5
    # No permutation is nearer to the values than the ranks: all of them lie on the other side.
    furthest = torch.empty(n).double()
    furthest[(values - ranks).argsort()] = corners
    assert (values - ranks).dot(furthest - ranks) <= 1e-4


def test_values_that_are_not_valid_do_not_count() -> None:
    values, valid = _random(4, 7, 0, scale=0.5), torch.rand(4, 7, generator=torch.Generator().manual_seed(1)) < 0.6
    ranks = soft_ranks(values, valid)
    assert not ranks[~valid].any()
    for row in range(4):
        assert ranks[row][valid[row]].tolist() == pytest.approx(_ranks(*values[row][valid[row]].tolist()))


def test_rank_loss_over_the_union_of_two_top_sets() -> None:
    # Teacher's top 2: columns 0 and 1. Student's top 2: columns 1 and 3. Union: 0, 1, 3.
    teacher = _logits([9.0, 7.0, 5.0, 1.0])  # ranks in the union 3, 2, 1
    student = _logits([2.0, 8.0, 0.0, 6.0])  # ranks in the union 1, 3, 2
    # Centred: (1, 0, -1) and (-1, 1, 0); cosine -1 / (√2 √2).
    assert rank_sum(teacher, student, 2).item() == pytest.approx(1 + 1 / 2)


def test_duplicates_in_the_union_count_once() -> None:
    # Both have columns 0, 1, 2 on top.
    teacher, student = _logits([9.0, 7.0, 5.0, 0.0]), _logits([7.0, 9.0, 5.0, 0.0])
    # Centred: (1, 0, -1) and (0, 1, -1); cosine 1 / 2.
    assert rank_sum(teacher, student, 3).item() == pytest.approx(1 / 2)
    # In the union 0, 1, 2 (top 2 of the teacher: 0, 1; of the student: 1, 2), column 1 counts once.
    teacher, student = _logits([9.0, 7.0, 5.0, 0.0]), _logits([3.0, 7.0, 5.0, 0.0])
    # Centred: (1, 0, -1) and (-1, 1, 0); cosine -1 / 2. With column 1 twice: (1.5, 0, 0, -1.5) and
    # (-1.5, 1, 1, -0.5), cosine -1 / 3.
    assert rank_sum(teacher, student, 2).item() == pytest.approx(3 / 2)


def test_rows_with_different_unions_are_independent() -> None:
    teacher, student = _random(6, 9, 0), _random(6, 9, 1)
    for config in _ALL:
        rows = [distillation_sum(teacher[i : i + 1], student[i : i + 1], config).item() for i in range(6)]
        assert distillation_sum(teacher, student, config).item() == pytest.approx(sum(rows))


@pytest.mark.parametrize("base", ["kl", "reverse_kl", "js", "tvd"])
def test_rlkd_is_the_rank_loss_and_half_of_a_divergence(base) -> None:
    teacher, student = _random(6, 9, 0), _random(6, 9, 1)
    divergence = distillation_sum(teacher, student, DistillationConfig(loss=base))
    loss = distillation_sum(teacher, student, DistillationConfig(loss="rlkd", rank_base=base, top_k=4))
    torch.testing.assert_close(loss, rank_sum(teacher, student, 4) + divergence / 2)


@pytest.mark.parametrize("config", _ALL)
def test_equal_logits_are_the_minimum(config: DistillationConfig) -> None:
    teacher = _random(6, 9, 0)
    student = teacher.clone().requires_grad_()
    loss = distillation_sum(teacher, student, config)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert student.grad is not None
    if "tvd" not in (config.loss, config.rank_base):  # not differentiable there
        assert student.grad.abs().max() < 1e-6
    assert distillation_sum(teacher, teacher + _random(6, 9, 1, scale=0.1), config) > 1e-4


@pytest.mark.parametrize("config", _ALL)
def test_gradients_are_those_of_finite_differences(config: DistillationConfig) -> None:
    teacher, student = _random(4, 7, 0, scale=0.7), _random(4, 7, 1, scale=0.7).requires_grad_()
    assert torch.autograd.gradcheck(lambda logits: distillation_sum(teacher, logits, config), student)


def test_the_gradient_of_the_rank_loss_orders_close_logits() -> None:
    teacher, student = _logits([9.0, 7.0, 5.0]), _logits([0.0, 0.2, 0.4]).requires_grad_()
    for _ in range(50):
        (gradient,) = torch.autograd.grad(rank_sum(teacher, student, 3), student)
        student = (student - 0.1 * gradient).detach().requires_grad_()
    assert student.argsort().tolist() == [[2, 1, 0]]


@pytest.mark.parametrize("config", _ALL)
def test_the_teacher_gets_no_gradient(config: DistillationConfig) -> None:
    teacher, student = _random(4, 7, 0).requires_grad_(), _random(4, 7, 1).requires_grad_()
    distillation_sum(teacher, student, config).backward()
    assert teacher.grad is None
    assert student.grad is not None


@pytest.mark.parametrize("config", [config for config in _ALL if config.loss == "rlkd"])
@pytest.mark.parametrize("teacher_is_constant", [True, False])
@pytest.mark.parametrize("student_is_constant", [True, False])
def test_rows_without_order_are_finite(config, teacher_is_constant: bool, student_is_constant: bool) -> None:
    teacher, student = _random(2, 9, 0), _random(2, 9, 1)
    teacher[0] = 3.0 if teacher_is_constant else teacher[0]
    student[0] = 3.0 if student_is_constant else student[0]
    student.requires_grad_()
    loss = distillation_sum(teacher.float(), student.float(), config)
    loss.backward()
    assert loss.isfinite()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() < 10


def test_a_row_without_order_has_a_correlation_of_zero() -> None:
    assert rank_sum(_logits([9.0, 7.0, 5.0]), _logits([1.0, 1.0, 1.0]), 3).item() == 1


@pytest.mark.parametrize("config", _ALL)
def test_no_positions_give_zero_with_a_gradient(config: DistillationConfig) -> None:
    student = torch.zeros(0, 7, requires_grad=True)
    loss = distillation_sum(torch.zeros(0, 7), student, config)
    loss.backward()
    assert loss.item() == 0


@pytest.mark.parametrize("config", _ALL)
def test_unused_columns_of_the_larger_vocabulary_are_ignored(config: DistillationConfig) -> None:
    teacher, student = _random(4, 12, 0), _random(4, 9, 1)
    expected = distillation_sum(teacher[:, :9], student, config)
    assert distillation_sum(teacher, student, config) == expected
    assert distillation_sum(student, teacher, config) == distillation_sum(student, teacher[:, :9], config)


@pytest.mark.parametrize("config", _ALL)
def test_half_precision_logits_are_compared_in_float32(config: DistillationConfig) -> None:
    teacher, student = _random(4, 9, 0).bfloat16(), _random(4, 9, 1).bfloat16()
    assert distillation_sum(teacher, student, config) == distillation_sum(teacher.float(), student.float(), config)


def test_float32_is_as_good_as_float64_for_large_logits() -> None:
    teacher, student = _random(50, 200, 0, scale=4.0) + 300, _random(50, 200, 1, scale=0.3) - 300
    exact = rank_sum(teacher, student, 15)
    torch.testing.assert_close(rank_sum(teacher.float(), student.float(), 15).double(), exact, rtol=1e-4, atol=0)


_values = st.integers(-128, 128).map(lambda value: value / 16)


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Teacher and student logits without ties, whose largest are well defined."""
    words = draw(st.integers(3, 12))
    rows = [draw(st.lists(_values, min_size=words, max_size=words, unique=True)) for _ in range(4)]
    return _logits(*rows[:2]), _logits(*rows[2:])


@settings(deadline=None, max_examples=25)
@given(pair=_pairs(), k=st.integers(2, 15))
def test_bounds(pair: tuple[Tensor, Tensor], k: int) -> None:
    positions = len(pair[0])
    assert -1e-9 <= rank_sum(*pair, k) <= 2 * positions + 1e-9
    assert 0 <= tvd_sum(*pair) <= positions
    assert -1e-9 <= js_sum(*pair) <= positions * math.log(2)
    assert kl_sum(*pair) >= -1e-9


@settings(deadline=None, max_examples=25)
@given(pair=_pairs(), seed=st.integers(0, 100))
def test_the_order_of_the_vocabulary_does_not_matter(pair: tuple[Tensor, Tensor], seed: int) -> None:
    teacher, student = pair
    order = torch.randperm(teacher.shape[1], generator=torch.Generator().manual_seed(seed))
    for config in _ALL:
        expected = distillation_sum(teacher, student, config)
        torch.testing.assert_close(distillation_sum(teacher[:, order], student[:, order], config), expected)


@settings(deadline=None, max_examples=25)
@given(pair=_pairs(), offset=st.integers(-20, 20))
def test_a_common_offset_of_the_logits_does_not_matter(pair: tuple[Tensor, Tensor], offset: int) -> None:
    teacher, student = pair
    for config in _ALL:
        expected = distillation_sum(teacher, student, config)
        torch.testing.assert_close(distillation_sum(teacher, student + offset, config), expected)


def test_one_logit_has_no_rank() -> None:
    with pytest.raises(ConfigError, match="top_k: expected at least 2, as one logit has no rank, got 1"):
        DistillationConfig(top_k=1)


def test_the_positions_must_agree() -> None:
    with pytest.raises(ValueError, match=r"student logits \(3, 7\): expected the positions of \(4, 7\)"):
        distillation_sum(torch.zeros(4, 7), torch.zeros(3, 7), DistillationConfig())

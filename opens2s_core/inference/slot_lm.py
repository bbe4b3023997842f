"""A Qwen3 over memory that is allocated once: the next tokens of many sequences in one forward, however they mix.

A *row* is the place of one sequence's keys and values. The rows in use are always the first ones, so that attention
reads them where they lie: a row that is given back changes places with the last. A forward computes a flat list of
tokens. The first of them are the *tips*, one for each row: the last token that the row is fed. While sequences only
decode, they are all. Behind them comes what is fed before the tips, of a prompt or of a group of hidden states. So
streams that join ride along with those that decode, and the weights are read once for all of them.

What a row held stays there until the row is needed: the next turn of a conversation finds what was read in the last.
"""
# n tokens, D width, R rows, T tokens of a row, S positions that attention reads, K key heads, G query heads to each,
# W width of a head

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import Qwen3ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention, Qwen3MLP, Qwen3RMSNorm

from opens2s_core.inference.cuda_graphs import CudaGraphs
from opens2s_core.inference.lm_settings import LMSettings

Keys = NDArray[np.int64]
"""What a sequence consists of: one number for each position, equal where the embeddings are."""

_NO_KEYS: Keys = np.zeros(0, dtype=np.int64)
_SMALLEST_BUCKET = 64
_FEW = 12
"""Rows that a CPU multiplies no slower by halves; one row in half the time."""
_WORTH_KEEPING = 16
"""Positions: to look for fewer is more work than to compute them."""


def bucket(length: int) -> int:
    """Positions to read for ``length`` of them: in few sizes, multiples of 64 and from 512 on four to an octave."""
    step = max(_SMALLEST_BUCKET, 2 ** (max(length - 1, 1).bit_length() - 3))
    return -(-length // step) * step


@dataclass(slots=True, eq=False)
class Row:
    """One sequence's place; ``length`` positions of it are known."""

    index: int
    length: int = 0
    keys: Keys = field(default_factory=lambda: _NO_KEYS)  # of what is left in a free row
    freed: int = -1  # grows with each row that is given back


@dataclass(frozen=True, slots=True)
class Feed:
    """The next tokens of a row, embeddings (T, D), T at least 1; the last ``keep`` of the hidden states are wanted."""

    row: Row
    embeddings: Tensor
    keep: int = 1


@dataclass(frozen=True, slots=True)
class _Span:
    """Tokens that attend together: T of each of R neighbouring rows, row by row."""

    tokens: int  # R · T
    first_row: int
    rows: int  # R
    later: Tensor  # (R, 1, 1 or G · T, S), -inf where attention does not look, else 0


@dataclass(frozen=True, slots=True)
class _Tokens:
    """What a forward computes. ``writes`` says where keys and values go: to the token's position, but for a token that
    stands in for a row that takes no part."""

    embeddings: Tensor  # (n, D)
    rows: Tensor  # (n,)
    positions: Tensor  # (n,)
    writes: Tensor  # (n,)
    spans: list[_Span]

    def __add__(self, other: "_Tokens") -> "_Tokens":
        return _Tokens(
            torch.cat([self.embeddings, other.embeddings]),
            torch.cat([self.rows, other.rows]),
            torch.cat([self.positions, other.positions]),
            torch.cat([self.writes, other.writes]),
            [*self.spans, *other.spans],
        )


class SlotLM:
    """``rows`` sequences of at most ``context`` positions each.

    With ``fixed_width`` what is computed for a row has the same shapes whatever its neighbours do, so that not even
    the rounding depends on them. It costs: every forward computes all rows and reads the whole context, and prompts do
    not ride along.
    """

    def __init__(self, lm: Qwen3ForCausalLM, *, rows: int, settings: LMSettings) -> None:
        """``ValueError`` for a model with other than full attention."""
        config = lm.config
        kinds, key_heads = set(config.layer_types or ()), config.num_key_value_heads or config.num_attention_heads
        if kinds - {"full_attention"}:
            raise ValueError(f"attention layers {sorted(kinds)}: expected full_attention only")
        context = min(settings.context, config.max_position_embeddings)
        self.context, self.fixed_width = context, settings.fixed_width
        self._model = lm.model
        self._groups = config.num_attention_heads // key_heads
        weight: Tensor = lm.model.embed_tokens.weight
        self._device = weight.device
        # The last position is nobody's: what stands in for rows is written there.
        shape = (config.num_hidden_layers, 2, rows, key_heads, context + 1, config.head_dim)
        self._memory = torch.zeros(shape, dtype=weight.dtype, device=weight.device)
        self._rows = [Row(i) for i in range(rows)]  # those in use first
        self._used = 0
        self._clock = itertools.count()
        self._fast_few = weight.dtype == torch.float32 and not weight.is_cuda
        self._graphs: CudaGraphs | None = None
        if weight.is_cuda:
            self._graphs = CudaGraphs(self._decode, weight.new_zeros(rows, weight.shape[1]), spare=context)
            self.warm_up()

    def take(self, keys: Keys = _NO_KEYS) -> Row:
        """A free row; there must be one. Its length says how much of the sequence ``keys`` it knows already."""
        assert self._used < len(self._rows), "more sequences than rows"
        free = self._rows[self._used :]
        known = [_common(row.keys, keys) for row in free]
        longest = max(known)
        like, row = free[known.index(longest)], min(free, key=lambda row: row.freed)
        if longest < _WORTH_KEEPING:
            longest = 0
        elif 2 * longest >= len(like.keys):
            row = like
        elif row is not like:  # most of it is another conversation that began alike and may go on yet
            self._memory[:, :, row.index, :, :longest] = self._memory[:, :, like.index, :, :longest]
        row.length, row.keys = longest, _NO_KEYS
        self._swap(row, self._rows[self._used])
        self._used += 1
        return row

    def free(self, row: Row, keys: Keys = _NO_KEYS) -> None:
        """Give a row back, once. With ``keys`` of its positions what it knows can be found again."""
        row.freed = next(self._clock)
        row.keys = _NO_KEYS if self.fixed_width else keys[: row.length]  # fixed widths promise to know no past
        row.length = len(row.keys)
        self._used -= 1
        self._swap(row, self._rows[self._used])

    def _swap(self, one: Row, other: Row) -> None:
        if one is other:
            return
        known = self._memory[..., : max(one.length, other.length), :]
        known[:, :, [one.index, other.index]] = known[:, :, [other.index, one.index]]
        self._rows[one.index], self._rows[other.index] = other, one
        one.index, other.index = other.index, one.index

    def wipe(self, row: Row) -> None:
        """For a row that holds what is not a number: also where attention does not look, it would spoil the sums."""
        self._memory[:, :, row.index].zero_()

    def warm_up(self) -> None:
        """Record the graphs of all sizes, where there are any, before the first stream waits for them."""
        if self._graphs is not None:
            for read in sorted({self._read(length) for length in range(1, self.context + 1)}):
                self._graphs.record(read)

    def logits(self, hidden: Tensor, head: Tensor) -> Tensor:
        """Hidden states (n, D) of as many rows, by the weights (V, D) of a head → (n, V)."""
        if not self.fixed_width:
            return functional.linear(hidden, head)
        every = functional.pad(hidden, (0, 0, 0, len(self._rows) - len(hidden)))
        return functional.linear(every, head)[: len(hidden)]

    @torch.inference_mode()
    def advance(self, feeds: Sequence[Feed]) -> list[Tensor]:
        """The hidden states (keep, D) of each feed, behind the final norm; its row must have room for its tokens."""
        assert all(feed.row.length + len(feed.embeddings) <= self.context for feed in feeds), "a row is full"
        long = sorted((feed for feed in feeds if len(feed.embeddings) > 1), key=lambda feed: feed.row.index)
        if self.fixed_width:
            before = [self._forward(self._before_tips([feed])) for feed in long]
            tips = self._decode_all(feeds)
        elif self._graphs is not None and not long:
            before, tips = [], self._decode_all(feeds)
        else:
            width = 1 + max(feed.row.index for feed in feeds)
            tokens = self._decoding(*self._tips(feeds, width))
            hidden = self._forward(tokens + self._before_tips(long) if long else tokens)
            tips, *before = hidden.split([width, *(len(feed.embeddings) - 1 for feed in long)])
        early = {feed.row.index: hidden for feed, hidden in zip(long, before, strict=True)}
        return [self._accept(feed, tips, early.get(feed.row.index)) for feed in feeds]

    def _accept(self, feed: Feed, tips: Tensor, before: Tensor | None) -> Tensor:
        feed.row.length += len(feed.embeddings)
        tip = tips[feed.row.index : feed.row.index + 1]
        return tip if feed.keep == 1 or before is None else torch.cat([before[1 - feed.keep :], tip])

    def _read(self, length: int) -> int:
        return self.context if self.fixed_width else min(bucket(length), self.context)

    def _tips(self, feeds: Sequence[Feed], width: int) -> tuple[Tensor, Tensor, Tensor, int]:
        """The last token of each feed, and one that stands in for each of the first ``width`` rows without a feed: as
        :class:`CudaGraphs` and :meth:`_decode` take them."""
        positions, writes = [0] * width, [self.context] * width
        for feed in feeds:
            positions[feed.row.index] = writes[feed.row.index] = feed.row.length + len(feed.embeddings) - 1
        tips = torch.cat([feed.embeddings[-1:] for feed in feeds])
        embeddings = tips.new_zeros(width, tips.shape[1])
        embeddings[[feed.row.index for feed in feeds]] = tips
        at = torch.tensor([positions, writes], device=self._device)
        return embeddings, at[0], at[1], self._read(1 + max(positions))

    def _decoding(self, embeddings: Tensor, positions: Tensor, writes: Tensor, read: int) -> _Tokens:
        rows = torch.arange(len(embeddings), device=self._device)
        span = _Span(len(rows), 0, len(rows), self._later(positions, read)[:, None, None])
        return _Tokens(embeddings, rows, positions, writes, [span])

    def _decode_all(self, feeds: Sequence[Feed]) -> Tensor:
        """Hidden states (rows, D) of the tips, by shapes that do not depend on their number."""
        decode = self._graphs or self._decode
        return decode(*self._tips(feeds, len(self._rows)))

    def _decode(self, embeddings: Tensor, positions: Tensor, writes: Tensor, read: int) -> Tensor:
        return self._forward(self._decoding(embeddings, positions, writes, read))

    def _before_tips(self, feeds: Sequence[Feed]) -> _Tokens:
        """All tokens but the last of each feed of more than one, in the order of rows."""
        embeddings = torch.cat([feed.embeddings[:-1] for feed in feeds])
        rows: list[int] = []
        positions: list[int] = []
        for feed in feeds:
            new = range(feed.row.length, feed.row.length + len(feed.embeddings) - 1)
            rows += [feed.row.index] * len(new)
            positions += new
        at = torch.tensor([rows, positions], device=self._device)
        return _Tokens(embeddings, at[0], at[1], at[1], [self._span(alike) for alike in _alike(feeds)])

    def _span(self, feeds: Sequence[Feed]) -> _Span:
        count = len(feeds[0].embeddings) - 1
        starts = torch.tensor([feed.row.length for feed in feeds], device=self._device)
        positions = starts[:, None] + torch.arange(count, device=self._device)  # (R, T)
        read = count + max(feed.row.length for feed in feeds)
        later = self._later(positions, read)[:, None].expand(-1, self._groups, -1, -1)
        return _Span(count * len(feeds), feeds[0].row.index, len(feeds), later.reshape(len(feeds), 1, -1, read))

    def _later(self, positions: Tensor, read: int) -> Tensor:
        """For each of ``positions`` (…) the first ``read`` ones (…, S): -inf where it is earlier than they, else 0.

        Attention would make this of a mask of truths too, but again in each layer.
        """
        later = torch.arange(read, device=self._device) > positions[..., None]
        return torch.zeros(later.shape, dtype=self._memory.dtype, device=self._device).masked_fill(later, -math.inf)

    def _forward(self, tokens: _Tokens) -> Tensor:
        """Hidden states (n, D) behind the final norm."""
        x = tokens.embeddings
        turn = _turn(*self._model.rotary_emb(x[None], tokens.positions[None]))
        for layer, memory in zip(self._model.layers, self._memory, strict=True):
            x = x + self._attention(layer.self_attn, _norm(layer.input_layernorm, x), turn, tokens, memory)
            x = x + _mlp(layer.mlp, _norm(layer.post_attention_layernorm, x))
        return _norm(self._model.norm, x)

    def _attention(
        self, attention: Qwen3Attention, x: Tensor, turn: tuple[Tensor, Tensor], tokens: _Tokens, memory: Tensor
    ) -> Tensor:
        """x (n, D) → (n, D); keys and values are added to ``memory`` (2, rows, K, context + 1, W) first."""
        query, key, value = (
            linear(x).unflatten(-1, (-1, attention.head_dim))  # (n, heads, W)
            for linear in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        placed = _place(torch.cat([_norm(attention.q_norm, query), _norm(attention.k_norm, key)], dim=1), turn)
        query, key = placed.split([query.shape[1], key.shape[1]], dim=1)
        keys, values = memory
        keys[tokens.rows, :, tokens.writes] = key
        values[tokens.rows, :, tokens.writes] = value
        parts = query.split([span.tokens for span in tokens.spans])
        heard = [self._attend(part, span, keys, values) for part, span in zip(parts, tokens.spans, strict=True)]
        return attention.o_proj(torch.cat(heard) if len(heard) > 1 else heard[0])

    def _attend(self, query: Tensor, span: _Span, keys: Tensor, values: Tensor) -> Tensor:
        """query (R · T, heads, W) → (R · T, heads · W)."""
        rows = slice(span.first_row, span.first_row + span.rows)
        read = span.later.shape[-1]
        # All queries of a key head lie side by side: keys and values are not repeated for them.
        query = query.unflatten(0, (span.rows, -1)).unflatten(2, (-1, self._groups)).permute(0, 2, 3, 1, 4)
        attend = _attend_few if span.tokens == span.rows and self._fast_few else functional.scaled_dot_product_attention
        heard = attend(query.flatten(2, 3), keys[rows, :, :read], values[rows, :, :read], span.later)
        return heard.unflatten(2, (self._groups, -1)).permute(0, 3, 1, 2, 4).flatten(0, 1).flatten(1)


def _common(known: Keys, wanted: Keys) -> int:
    """How many positions of a sequence are known; its last is never, it has yet to predict."""
    length = min(len(known), len(wanted) - 1)
    if length <= 0:
        return 0
    differ = np.flatnonzero(known[:length] != wanted[:length])
    return int(differ[0]) if len(differ) else length


def _alike(feeds: Sequence[Feed]) -> Iterator[list[Feed]]:
    """Feeds in the order of rows, cut into runs of neighbouring rows and equal lengths."""
    run: list[Feed] = []
    for feed in feeds:
        if run and (feed.row.index != run[-1].row.index + 1 or len(feed.embeddings) != len(run[-1].embeddings)):
            yield run
            run = []
        run.append(feed)
    if run:
        yield run


def _turn(cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines (1, n, W) of each position's angles as :func:`_place` takes them, (n, 1, W)."""
    left, right = sin[0].chunk(2, dim=-1)
    return cos[0][:, None], torch.cat([-left, right], dim=-1)[:, None]


def _place(heads: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turn the heads (n, heads, W) to their positions, all in one go: decoding is made of many small operations."""
    cos, sin = turn
    return torch.addcmul(heads * cos, heads.roll(heads.shape[-1] // 2, dims=-1), sin)


def _attend_few(query: Tensor, keys: Tensor, values: Tensor, later: Tensor) -> Tensor:
    """Attention as torch has it, query (R, K, G, W), keys and values (R, K, S, W), later (R, 1, 1, S). With one token
    of each row it takes a CPU half the time."""
    rows, heads, groups, width = query.shape
    mask = later.expand(-1, heads, -1, -1).flatten(0, 1).expand(-1, groups, -1)
    scores = torch.baddbmm(mask, query.flatten(0, 1), keys.flatten(0, 1).transpose(1, 2), alpha=width**-0.5)
    return torch.bmm(scores.softmax(-1), values.flatten(0, 1)).view(rows, heads, groups, width)


def _mlp(mlp: Qwen3MLP, x: Tensor) -> Tensor:
    divides = type(mlp.gate_proj) is nn.Linear and mlp.intermediate_size % 2 == 0  # no adapters beside the weights
    if x.is_cuda or len(x) > _FEW or not divides:
        return mlp(x)
    return mlp.down_proj(mlp.act_fn(_by_halves(x, mlp.gate_proj)) * _by_halves(x, mlp.up_proj))


def _by_halves(x: Tensor, linear: nn.Linear) -> Tensor:
    """``linear`` of few rows (n, inputs) on a CPU, as a batch of two halves of its outputs: torch gives each thread one
    of them, while it multiplies a matrix by few vectors in one thread."""
    halves = linear.weight.unflatten(0, (2, -1))
    return torch.bmm(halves, x.t().expand(2, -1, -1)).flatten(0, 1).t()


def _norm(norm: Qwen3RMSNorm, x: Tensor) -> Tensor:
    return functional.rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)

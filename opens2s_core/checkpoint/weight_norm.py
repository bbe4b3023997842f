"""Weights stored as a length and a direction (weight normalisation), as the plain weights that they stand for."""

from collections.abc import Mapping

from torch import Tensor

from opens2s_core.checkpoint.shards import LazyTensor
from opens2s_core.models.vocoder import fold_weight_norm

_NAMES = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))
"""Of length and direction: by ``torch.nn.utils.weight_norm``, and by that of ``torch.nn.utils.parametrizations``."""


def plain_weights(tensors: Mapping[str, LazyTensor]) -> dict[str, LazyTensor]:
    """``tensors`` with each such pair replaced by its ``weight``, computed when it is read: the norm is over
    every axis but 0. A part without the other stays as it is."""
    plain = dict(tensors)
    for length, direction in _NAMES:
        for name in [name for name in tensors if name.endswith(direction)]:
            layer = name.removesuffix(direction)
            norm, weight = plain.get(layer + length), tensors[name]
            # Of any other layout it is not ours to guess; left as they are, the loader reports the names as unknown.
            if norm is not None and norm.shape == (weight.shape[0], *[1] * (len(weight.shape) - 1)):
                del plain[layer + length], plain[name]
                plain[layer + "weight"] = _folded(norm, weight)
    return plain


def _folded(length: LazyTensor, direction: LazyTensor) -> LazyTensor:
    def read() -> Tensor:
        folded = fold_weight_norm({"weight_g": length.read(), "weight_v": direction.read()})
        return folded["weight"].to(direction.dtype)

    return LazyTensor(direction.shape, direction.dtype, read)

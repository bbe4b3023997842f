"""Weight normalisation (weights stored as length and direction) folded into plain weights."""

from collections.abc import Mapping

from torch import Tensor

from opens2s_core.checkpoint.shards import LazyTensor
from opens2s_core.models.vocoder import fold_weight_norm

_NAMES = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))
"""Names of length and direction in ``torch.nn.utils.weight_norm`` and in ``torch.nn.utils.parametrizations``."""


def plain_weights(tensors: Mapping[str, LazyTensor]) -> dict[str, LazyTensor]:
    """``tensors`` with each pair of length and direction replaced by its ``weight``, which is computed when it is read.
    The norm is over all axes but 0. An incomplete pair is not changed."""
    plain = dict(tensors)
    for length, direction in _NAMES:
        for name in [name for name in tensors if name.endswith(direction)]:
            layer = name.removesuffix(direction)
            norm, weight = plain.get(layer + length), tensors[name]
            # Pairs with a norm over other axes are not changed; the loader then reports their names as unknown.
            if norm is not None and norm.shape == (weight.shape[0], *[1] * (len(weight.shape) - 1)):
                del plain[layer + length], plain[name]
                plain[layer + "weight"] = _folded(norm, weight)
    return plain


def _folded(length: LazyTensor, direction: LazyTensor) -> LazyTensor:
    def read() -> Tensor:
        folded = fold_weight_norm({"weight_g": length.read(), "weight_v": direction.read()})
        return folded["weight"].to(direction.dtype)

    return LazyTensor(direction.shape, direction.dtype, read)

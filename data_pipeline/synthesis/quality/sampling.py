"""The clips that slow models measure, where they do not measure all."""

from hashlib import blake2b


def is_measured(key: str, share: float, seed: int) -> bool:
    """Whether the clip ``key`` is among the ``share`` (0 to 1) that recogniser and DNSMOS measure.

    It depends on the arguments alone. A larger share includes all clips of a smaller one.
    """
    digest = blake2b(f"{seed}:{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64

import numpy as np
import torch

from opens2s_core.inference.audio_cache import AudioEmbeddingCache, clip_key


def embedding(value: float, positions: int = 4) -> torch.Tensor:
    return torch.full((positions, 8), float(value))  # 128 bytes


def test_a_key_stands_for_the_samples() -> None:
    clip = np.random.default_rng(0).normal(0, 0.1, 500).astype(np.float32)
    assert clip_key(clip) == clip_key(clip.copy())
    assert clip_key(np.repeat(clip, 2)[::2]) == clip_key(clip)
    assert clip_key(clip) != clip_key(clip[:-1])
    assert clip_key(clip) != clip_key(-clip)


def test_a_key_is_no_token() -> None:
    keys = [clip_key(np.full(3, i, np.float32)) for i in range(200)]
    assert all(-(2**63) <= key < 0 for key in keys)
    assert np.array(keys, dtype=np.int64).tolist() == keys


def test_the_most_recently_used_stay() -> None:
    cache = AudioEmbeddingCache(max_bytes=3 * 128)
    for key in (-1, -2, -3):
        cache.put(key, embedding(key))
    assert cache.get(-1) is not None
    cache.put(-4, embedding(-4))
    assert cache.get(-2) is None
    assert [cache.get(key) is not None for key in (-1, -3, -4)] == [True] * 3


def test_as_many_stay_as_fit_in_the_bytes() -> None:
    cache = AudioEmbeddingCache(max_bytes=3 * 128)
    for key in (-1, -2, -3):
        cache.put(key, embedding(key))
        cache.put(key, embedding(key))  # once is enough
    cache.put(-4, embedding(-4, positions=8))
    assert [cache.get(key) is not None for key in (-1, -2, -3, -4)] == [False, False, True, True]
    cache.put(-5, embedding(-5, positions=13))  # larger than all there is
    assert cache.get(-5) is None
    cache.put(-6, embedding(-6, positions=12))
    assert cache.get(-6) is not None


def test_an_embedding_that_is_not_finite_is_not_kept() -> None:
    cache = AudioEmbeddingCache()
    for key, value in ((-1, torch.nan), (-2, torch.inf)):
        poisoned = embedding(1.0)
        poisoned[2, 3] = value
        cache.put(key, poisoned)
        assert cache.get(key) is None

import numpy as np
import torch

from opens2s_core.inference.audio_memory import AudioMemory, clip_key


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


def test_what_was_used_last_stays() -> None:
    memory = AudioMemory(max_bytes=3 * 128)
    for key in (-1, -2, -3):
        memory.put(key, embedding(key))
    assert memory.get(-1) is not None
    memory.put(-4, embedding(-4))
    assert memory.get(-2) is None
    assert [memory.get(key) is not None for key in (-1, -3, -4)] == [True] * 3


def test_as_many_stay_as_fit() -> None:
    memory = AudioMemory(max_bytes=3 * 128)
    for key in (-1, -2, -3):
        memory.put(key, embedding(key))
        memory.put(key, embedding(key))  # once is enough
    memory.put(-4, embedding(-4, positions=8))
    assert [memory.get(key) is not None for key in (-1, -2, -3, -4)] == [False, False, True, True]
    memory.put(-5, embedding(-5, positions=13))  # larger than all there is
    assert memory.get(-5) is None
    memory.put(-6, embedding(-6, positions=12))
    assert memory.get(-6) is not None


def test_what_is_no_number_is_not_remembered() -> None:
    memory = AudioMemory()
    for key, value in ((-1, torch.nan), (-2, torch.inf)):
        poisoned = embedding(1.0)
        poisoned[2, 3] = value
        memory.put(key, poisoned)
        assert memory.get(key) is None

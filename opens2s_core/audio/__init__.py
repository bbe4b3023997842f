"""Decode, encode and resample waveforms, and compute the Whisper log-mel features of the encoders."""

from opens2s_core.audio.decoding import decode_audio, decode_whole_audio
from opens2s_core.audio.encoding import encode_audio, write_blocks
from opens2s_core.audio.frames import MAX_CHANNELS, MAX_RATE, MIN_RATE, AudioCut, AudioError, AudioTooLong
from opens2s_core.audio.log_mel import HOP, N_FFT, SEGMENT_FRAMES, SEGMENT_SECONDS, log_mel
from opens2s_core.audio.segments import decode_segment
from opens2s_core.audio.waveform import SAMPLE_RATE, Waveform, resample

__all__ = [
    "HOP",
    "MAX_CHANNELS",
    "MAX_RATE",
    "MIN_RATE",
    "N_FFT",
    "SAMPLE_RATE",
    "SEGMENT_FRAMES",
    "SEGMENT_SECONDS",
    "AudioCut",
    "AudioError",
    "AudioTooLong",
    "Waveform",
    "decode_audio",
    "decode_segment",
    "decode_whole_audio",
    "encode_audio",
    "log_mel",
    "resample",
    "write_blocks",
]

"""Fixtures that whole packages share: one local Ray, and a bundle of the real architecture at the smallest size."""

import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import hypothesis
import numpy as np
import psutil
import pytest
import ray
import s3fs
import torch

from data_pipeline.steps.tokenise import TRANSCRIBE
from data_pipeline.synthesis.sentences.held_out import HELD_OUT_SENTENCES
from opens2s_core.audio import SAMPLE_RATE
from opens2s_core.checkpoint.bundle import OPENS2S, SPEECH_TOKENIZER, TOKEN2WAV
from opens2s_core.checkpoint.opens2s import load_opens2s, save_opens2s
from opens2s_core.checkpoint.speech_tokenizer import save_speech_tokenizer
from opens2s_core.checkpoint.token2wav import save_token2wav
from opens2s_core.config import (
    EstimatorConfig,
    F0PredictorConfig,
    FlowConfig,
    FlowDecoderConfig,
    FlowEncoderConfig,
    SpeechTokenizerConfig,
    Token2WavConfig,
    VocoderConfig,
)
from opens2s_core.models.flow import Flow
from opens2s_core.models.seeding import seeded
from opens2s_core.models.speech_tokenizer import SpeechTokenizer
from opens2s_core.models.vocoder import Vocoder
from opens2s_core.training.from_scratch import ScratchConfig, TransformerSize, create_bundle
from serve_app.ray_settings import RAY_SETTINGS
from tests.fake_s3 import fake_s3

# Ray's processes, ``ray job`` and this one must agree; this Ray listens on the loopback alone.
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

# A machine that runs other things besides is slow now and then: what a test asserts does not depend on it.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

CODES = 64
SMALL = TransformerSize(width=32, layers=1, heads=2, ffn=64)
TINY = ScratchConfig(audio_encoder=SMALL, llm=SMALL, speech_decoder=SMALL, mel_bins=80)
SPEECH_TOKENIZER_CONFIG = SpeechTokenizerConfig(
    d_model=32,
    encoder_attention_heads=2,
    encoder_ffn_dim=64,
    num_mel_bins=80,
    quantize_position=1,
    pooling_position=1,
    quantize_vocab_size=CODES,
)
TOKEN2WAV_CONFIG = Token2WavConfig(
    flow=FlowConfig(
        input_size=32,
        vocab_size=CODES,
        encoder=FlowEncoderConfig(input_size=32, output_size=32, attention_heads=2, linear_units=64, num_blocks=1),
        decoder=FlowDecoderConfig(
            estimator=EstimatorConfig(
                channels=(32, 32), n_blocks=1, num_mid_blocks=1, num_heads=2, attention_head_dim=16
            )
        ),
    ),
    hift=VocoderConfig(base_channels=32, f0_predictor=F0PredictorConfig(cond_channels=32)),
    trained=False,
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Ray of this session's own, as ``ray start --head`` makes it; its processes find the object store too."""

    address: str
    environment: dict[str, str]  # for commands that should find it


@pytest.fixture(scope="session")
def cluster(s3: None) -> Iterator[Cluster]:
    gcs, dashboard, client, agent = free_ports(4)
    temp = Path(tempfile.mkdtemp(prefix="ray-"))  # short: socket paths have a limit
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    options = {
        "node-ip-address": "127.0.0.1",
        "port": gcs,
        "dashboard-host": "127.0.0.1",
        "dashboard-port": dashboard,
        "ray-client-server-port": client,
        "dashboard-agent-listen-port": agent,
        "num-cpus": 8,
        "object-store-memory": 256 * 2**20,
        "temp-dir": temp,
    }
    command += [f"--{name}={value}" for name, value in options.items()]
    # Jobs say `python`: as in an activated environment, it is this one.
    environment = RAY_SETTINGS | os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with (temp / "start.log").open("wb") as log:
        head = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    address, url = f"127.0.0.1:{gcs}", f"http://127.0.0.1:{dashboard}"
    try:
        wait_for(f"{url}/api/version", head, temp / "start.log")
        yield Cluster(address, environment | {"RAY_ADDRESS": url})
    finally:
        end(head)
        shutil.rmtree(temp, ignore_errors=True)


@pytest.fixture(scope="session")
def ray_local(cluster: Cluster) -> Iterator[str]:
    """This process connected to the session's Ray; gives its address."""
    ray.init(address=cluster.address, logging_level=logging.WARNING)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An object store that s3fs finds under ``s3://bucket/``, and a place of its own for what is fetched from it."""
    # ``make test-s3`` names a server with more of the protocol.
    server = nullcontext(os.environ["TEST_S3_ENDPOINT"]) if "TEST_S3_ENDPOINT" in os.environ else fake_s3()
    with server as address, pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ENDPOINT_URL", address)
        patched.setenv("AWS_ACCESS_KEY_ID", "test")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patched.setenv("OPENS2S_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
        s3fs.S3FileSystem.clear_instance_cache()


def free_ports(count: int) -> list[int]:
    with ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 90) -> None:
    """Until ``url`` answers; says what ``process`` wrote if it ends instead."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=2).status_code < 500:
                return
        time.sleep(0.2)
    raise AssertionError(f"{url} did not answer within {seconds:g} s\n{log.read_text()}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all it started, gently first."""
    family = [*psutil.Process(process.pid).children(recursive=True)] if process.poll() is None else []
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def untrained_voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice of random weights, its codes drawn from noise, so that noise has many units."""
    voice = tmp_path_factory.mktemp("voice")
    noise = np.random.default_rng(0).normal(0, 0.1, 10 * SAMPLE_RATE).astype(np.float32)
    with seeded(0):
        tokenizer = SpeechTokenizer(SPEECH_TOKENIZER_CONFIG).eval()
        tokenizer.codebook.weight.data.copy_(tokenizer.pooled([noise])[0][:CODES])
        flow, vocoder = Flow(TOKEN2WAV_CONFIG.flow), Vocoder(TOKEN2WAV_CONFIG.hift)
    save_speech_tokenizer(tokenizer, SPEECH_TOKENIZER_CONFIG, voice / SPEECH_TOKENIZER)
    save_token2wav(flow, vocoder, TOKEN2WAV_CONFIG, voice / TOKEN2WAV)
    return voice


@pytest.fixture(scope="session")
def tiny_bundle(untrained_voice: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained bundle directory, whose configuration has a transcription prompt as if it was trained to
    transcribe."""
    bundle = tmp_path_factory.mktemp("bundle")
    create_bundle(TINY, HELD_OUT_SENTENCES, untrained_voice, bundle)
    _stir(bundle / OPENS2S)
    return bundle


def _stir(directory: Path) -> None:
    """Larger random weights: a model fresh from its initialisation only ever repeats the last token."""
    model = load_opens2s(directory)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3, generator=generator)
    model.config = replace(model.config, transcription_prompt=TRANSCRIBE)
    save_opens2s(model, directory)

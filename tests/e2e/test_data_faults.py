"""Data preparation on a Ray of two nodes: workers, a node and the whole job are killed while it runs, and what is
published is what one plain process makes."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from ray.cluster_utils import Cluster

from data_pipeline.corpora.librispeech import LibriSpeech
from data_pipeline.preparation import job
from tests.conftest import end
from tests.data_pipeline.preparation.model_server import ModelServer, model_server
from tests.data_pipeline.preparation.speech import write_speech
from tests.e2e import preparation

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
CLIPS = 96
NODE = {"num_cpus": 2, "object_store_memory": 128 * 2**20}
BATCH_ROWS = preparation.CONFIG.generator.batch_rows
MAX_ACTORS = preparation.CONFIG.generator.max_actors


@dataclass(frozen=True, slots=True)
class Nodes:
    cluster: Cluster

    def workers(self) -> list[psutil.Process]:
        """Processes that run tasks and actors of Ray Data."""
        raylets = [process for process in psutil.Process().children() if process.name() == "raylet"]
        children = [child for raylet in raylets for child in raylet.children(recursive=True)]
        return [child for child in children if _title(child).startswith("ray::Map")]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Cluster]:
    started = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    yield started
    started.shutdown()


@pytest.fixture
def nodes(two_nodes: Cluster) -> Nodes:
    if len(two_nodes.list_all_nodes()) < 2:
        two_nodes.add_node(**NODE)
        two_nodes.wait_for_nodes()
    return Nodes(two_nodes)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_speech(tmp_path_factory.mktemp("corpus"), CLIPS)
    sorted(root.rglob("*.flac"))[7].write_bytes(b"broken")
    return root


@pytest.fixture(scope="module")
def undisturbed(ray_local: str, corpus: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run makes to which nothing happens."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    with model_server() as server:
        job.prepare_dataset(
            preparation.CONFIG,
            LibriSpeech(),
            str(corpus),
            str(tiny_bundle),
            str(output),
            generator=server.config,
            progress=preparation.no_progress,
        )
    return output


@dataclass(frozen=True, slots=True)
class Run:
    nodes: Nodes
    corpus: Path
    bundle: Path
    output: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, server: ModelServer) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.e2e.preparation", self.corpus, self.bundle, self.output, server.url]
        environment = os.environ | {"RAY_ADDRESS": self.nodes.cluster.address}
        process = subprocess.Popen([str(part) for part in command], cwd=ROOT, env=environment, start_new_session=True)
        self.started.append(process)
        return process


@pytest.fixture
def run(nodes: Nodes, corpus: Path, tiny_bundle: Path, tmp_path: Path) -> Iterator[Run]:
    run = Run(nodes, corpus, tiny_bundle, tmp_path / "out")
    yield run
    for process in run.started:
        end(process)


def content(dataset: Path) -> dict[str, bytes]:
    """What is published: all files but temporary ones and those that models have stored, which are named at random."""
    files = (path for path in dataset.rglob("*") if path.is_file() and not {"_model_outputs", "_tmp"} & set(path.parts))
    return {str(path.relative_to(dataset)): path.read_bytes() for path in files}


def stored_positions(dataset: Path) -> list[tuple[str, int]]:
    """Rows for which a model has made something, each as often as it has."""
    return [
        (path.parent.name, position)
        for path in (dataset / "_model_outputs").rglob("*.parquet")
        for position in pq.read_table(path)["position"].to_pylist()
    ]


def wait_until_answered(server: ModelServer, prompts: int, process: subprocess.Popen[bytes]) -> None:
    while len(server.prompts) < prompts and process.poll() is None:
        time.sleep(0.02)


def test_killed_workers_change_nothing(run: Run, undisturbed: Path) -> None:
    choose = random.Random(0)
    with model_server(seconds=0.05) as server:
        process = run.start(server)
        for answered in (10, 30, 60):
            wait_until_answered(server, answered, process)
            choose.choice(run.nodes.workers()).kill()
        assert process.wait(timeout=240) == 0
    assert content(run.output) == content(undisturbed)


def test_a_killed_node_changes_nothing(run: Run, undisturbed: Path) -> None:
    with model_server(seconds=0.05) as server:
        process = run.start(server)
        wait_until_answered(server, 40, process)
        second = next(node for node in run.nodes.cluster.list_all_nodes() if not node.head)
        run.nodes.cluster.remove_node(second, allow_graceful=False)
        assert process.wait(timeout=240) == 0
    assert content(run.output) == content(undisturbed)


def test_a_job_that_is_killed_repeatedly_resumes_where_it_was(run: Run, undisturbed: Path) -> None:
    kills = 3
    with model_server(seconds=0.05) as server:
        for kill in range(kills):
            process = run.start(server)
            wait_until_answered(server, (kill + 1) * CLIPS // (kills + 1), process)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert run.start(server).wait(timeout=240) == 0
        asked = len(server.prompts)
    assert content(run.output) == content(undisturbed)
    # A batch that is in the hands of an actor when the job dies is lost, and no other.
    assert asked <= CLIPS + kills * MAX_ACTORS * BATCH_ROWS
    assert len(set(stored_positions(run.output))) == CLIPS - 1

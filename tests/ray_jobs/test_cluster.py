import os
import subprocess
import sys

import pytest
import ray

from ray_jobs.cluster import connect

pytestmark = pytest.mark.ray

JOB = "import ray; from ray_jobs.cluster import connect; connect(); print(ray.get_runtime_context().gcs_address)"


def test_a_connected_process_stays_where_it_is(ray_local: str) -> None:
    connect()
    assert ray.get_runtime_context().gcs_address == ray_local


def test_a_job_joins_the_cluster_that_the_environment_names(ray_local: str) -> None:
    job = subprocess.run(
        [sys.executable, "-c", JOB], env=os.environ | {"RAY_ADDRESS": ray_local}, capture_output=True, text=True
    )
    assert job.returncode == 0, job.stderr
    assert job.stdout.split()[-1] == ray_local

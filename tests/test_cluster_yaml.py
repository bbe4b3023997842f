"""cluster.yaml against the checks that ``ray up`` runs before it talks to a cloud: no network, no credentials."""

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from serve_app.ray_settings import RAY_SETTINGS

ROOT = Path(__file__).parents[1]
WORKERS = {"cpu_worker", "gpu_train", "gpu_serve"}


@pytest.fixture
def cluster() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


def launcher_accepts(config: dict[str, Any]) -> dict[str, Any]:
    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


def test_launcher_accepts_the_file(cluster: dict[str, Any]) -> None:
    prepared = launcher_accepts(cluster)
    assert set(prepared["available_node_types"]) == WORKERS | {"head"}
    assert prepared["provider"]["type"] == "aws"


def test_every_worker_type_scales_between_bounds(cluster: dict[str, Any]) -> None:
    types = launcher_accepts(cluster)["available_node_types"]
    for name in WORKERS:
        assert 0 <= types[name]["min_workers"] <= types[name]["max_workers"] <= cluster["max_workers"], name
        assert types[name]["max_workers"] > 0, name
    assert types["head"]["max_workers"] == 0


def test_only_the_gpu_types_offer_gpus(cluster: dict[str, Any]) -> None:
    with_gpu = {name for name, kind in cluster["available_node_types"].items() if "GPU" in kind["resources"]}
    assert with_gpu == {"gpu_train", "gpu_serve"}


@pytest.mark.parametrize("place", ["OPENS2S_DATA", "OPENS2S_RUNS"])
def test_s3_places_reach_every_process(cluster: dict[str, Any], place: str) -> None:
    settings = [option for option in cluster["docker"]["run_options"] if option.startswith(f"--env {place}=s3://")]
    assert len(settings) == 1


@pytest.mark.parametrize("setting", RAY_SETTINGS.items(), ids=lambda setting: setting[0])
def test_every_process_is_set_to_serve(cluster: dict[str, Any], setting: tuple[str, str]) -> None:
    assert f"--env {'='.join(setting)}" in cluster["docker"]["run_options"]


def test_nodes_install_this_checkout_with_everything(cluster: dict[str, Any]) -> None:
    [remote] = [remote for remote, local in cluster["file_mounts"].items() if local == "."]
    assert f'pip install -e "{remote}[all]"' in cluster["setup_commands"]


def test_nodes_and_commands_share_a_token(cluster: dict[str, Any]) -> None:
    assert "--env RAY_AUTH_MODE=token" in cluster["docker"]["run_options"]
    assert "/home/ray/.ray/auth_token" in cluster["file_mounts"]


@pytest.mark.parametrize("path", [(), ("available_node_types", "gpu_train"), ("docker",)])
def test_a_misspelt_key_is_refused(cluster: dict[str, Any], path: tuple[str, ...]) -> None:
    section = cluster
    for key in path:
        section = section[key]
    section["max_wokers"] = 3
    with pytest.raises(jsonschema.ValidationError, match="max_wokers"):
        launcher_accepts(cluster)


def test_more_minimum_workers_than_the_cluster_allows_are_refused(cluster: dict[str, Any]) -> None:
    cluster["available_node_types"]["cpu_worker"]["min_workers"] = cluster["max_workers"] + 1
    with pytest.raises(ValueError, match="max_workers"):
        launcher_accepts(cluster)

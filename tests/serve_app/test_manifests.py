"""Deployments as files, and what of them Serve applies to replicas that run."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve._private.deploy_utils import get_app_code_version
from ray.serve.schema import ServeDeploySchema

from opens2s_core.inference.family import OPENS2S
from ray_jobs import serve as job
from ray_jobs.serve_recipes import RECIPES, gpu, small
from serve_app import app
from serve_app.app import GATEWAY, deployment_options, gateway_options, serve_app
from serve_app.config import Access, GatewayConfig, Limits, Pacing, ServeConfig, StageConfig
from serve_app.manifests import ray_service, serve_manifest, to_yaml
from serve_app.ray_settings import RAY_SETTINGS

FOLDER = Path(app.__file__).parent
FILES = [FOLDER / "config.yaml", FOLDER / "ray_service.yaml"]
STAGES = OPENS2S.names
OTHER_SIZES: dict[str, Any] = {
    "min_replicas": 0,
    "max_replicas": 7,
    "target": 0.5,
    "upscale_delay": 1.0,
    "downscale_delay": 9.0,
    "health_period_seconds": 2.0,
    "health_timeout_seconds": 3.0,
}
"""What Serve changes while replicas run."""


def version(config: ServeConfig) -> str:
    """Serve starts all replicas anew when this changes."""
    [application] = accepted(serve_manifest(config)).applications
    return get_app_code_version(application)


def accepted(manifest: dict[str, Any]) -> ServeDeploySchema:
    return ServeDeploySchema(**yaml.safe_load(to_yaml(manifest)))


def deployed(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {deployment["name"]: deployment for deployment in manifest["applications"][0]["deployments"]}


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[ServeConfig]:
    """The configurations that applications were built from."""
    configs: list[ServeConfig] = []
    monkeypatch.setattr(app, "build_app", configs.append)
    return configs


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_of_the_package_is_what_the_command_in_it_prints(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, command = file.read_text().splitlines()[0].split("python -m ray_jobs.serve ")
    job.main(shlex.split(command))
    assert capsys.readouterr().out == file.read_text()


@pytest.mark.parametrize("recipe", RECIPES)
def test_serve_accepts_every_recipe(recipe: str) -> None:
    config = replace(RECIPES[recipe]("bundle"), host="10.0.0.1", port=8001)
    schema = accepted(serve_manifest(config))
    assert (schema.http_options.host, schema.http_options.port) == ("10.0.0.1", 8001)
    assert schema.http_options.request_timeout_s is None
    assert set(schema.applications[0].deployment_names) == {*STAGES, GATEWAY}


def test_counts_delays_and_queues_change_while_replicas_run() -> None:
    config = ServeConfig(bundle="bundle", gateway=GatewayConfig(cpus=1.0))
    changed = replace(
        config,
        stages=dict.fromkeys(STAGES, StageConfig(**OTHER_SIZES)),
        gateway=GatewayConfig(cpus=1.0, replicas=3, queue=7),
        drain_seconds=5.0,
        host="::",
        port=1,
    )
    before, after = deployed(serve_manifest(config)), deployed(serve_manifest(changed))
    assert all(before[name] != after[name] for name in (*STAGES, GATEWAY))
    assert after[GATEWAY]["user_config"] == {"running": 9, "waiting": 7}
    assert version(changed) == version(replace(config, host="::", port=1))


@pytest.mark.parametrize(
    "change",
    [
        {"bundle": "other"},
        {"stages": {"thinker": StageConfig(capacity=5)}},
        {"stages": {"thinker": StageConfig(context=1000)}},
        {"stages": {"token2wav": StageConfig(gpus=1.0)}},
        {"stages": {"token2wav": StageConfig(niceness=1)}},
        {"stages": {"speech_decoder": StageConfig(headroom_seconds=0.5)}},
        {"gateway": GatewayConfig(address="https://speech.example")},
        {"gateway": GatewayConfig(body_seconds=1.0)},
        {"pacing": Pacing(busy_lead_seconds=1.0)},
        {"limits": Limits(max_tokens=1)},
        {"access": Access(keys_file="keys")},
    ],
    ids=str,
)
def test_replicas_start_anew_with_what_they_are_made_of(change: dict[str, Any]) -> None:
    config = ServeConfig(bundle="bundle")
    assert version(replace(config, **change)) != version(config)


def test_a_file_builds_what_it_was_written_from(built: list[ServeConfig]) -> None:
    config = replace(
        gpu("bundle"),
        model="mine",
        limits=Limits(max_tokens=7),
        access=Access(keys_file="keys", cors_origins=("https://a", "https://b")),
        log_transcripts=True,
    )
    [application] = accepted(serve_manifest(config)).applications
    serve_app(application.args)
    [read] = built
    assert read == replace(
        config,
        stages={name: stage.replica() for name, stage in config.stages.items()},
        gateway=replace(config.gateway, replicas=1, queue=GatewayConfig().queue),
    )


def test_no_option_stands_in_two_places() -> None:
    """Of what follows from the arguments a file says nothing more, so that it cannot be changed in one place alone."""
    config = gpu("bundle")
    options = {spec.name: deployment_options(spec, config) | {"num_replicas": "auto"} for spec in OPENS2S.stages}
    options[GATEWAY] = gateway_options(config)
    for name, written in deployed(serve_manifest(config)).items():
        known = options[name]
        assert written.items() <= known.items()
        assert known.keys() - written.keys() == {"max_ongoing_requests", "ray_actor_options"}


def test_kuberay_deploys_the_same_and_reachable_from_other_pods() -> None:
    spec = ray_service(gpu("bundle"), "image")["spec"]
    assert yaml.safe_load(spec["serveConfigV2"]) == serve_manifest(replace(gpu("bundle"), host="0.0.0.0"))
    pods = [spec["rayClusterConfig"]["headGroupSpec"], *spec["rayClusterConfig"]["workerGroupSpecs"]]
    for pod in pods:
        [container] = pod["template"]["spec"]["containers"]
        assert container["image"] == "image"
        assert {"name": "serve", "containerPort": 8000} in container["ports"]
        keys, *settings = container["env"]
        assert not keys["valueFrom"]["secretKeyRef"]["optional"], "without keys a pod stays closed, not open"
        assert {setting["name"]: setting["value"] for setting in settings} == RAY_SETTINGS
    assert spec["rayClusterConfig"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_a_pod_ends_after_the_replies_that_it_serves() -> None:
    spec = ray_service(replace(small("bundle"), drain_seconds=99.5), "image")["spec"]
    assert spec["rayClusterDeletionDelaySeconds"] == 100
    for worker in spec["rayClusterConfig"]["workerGroupSpecs"]:
        pod = worker["template"]["spec"]
        assert pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "100"]
        assert pod["terminationGracePeriodSeconds"] > 100


def workers(config: ServeConfig) -> dict[str, tuple[int, int, dict[str, str]]]:
    """Of each group: the least and the most pods, and what one offers."""
    groups = ray_service(config, "image")["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    return {
        group["groupName"]: (
            group["minReplicas"],
            group["maxReplicas"],
            {
                name: amount
                for name, amount in group["template"]["spec"]["containers"][0]["resources"]["limits"].items()
                if name != "memory"
            },
        )
        for group in groups
    }


def test_a_stage_with_gpus_of_its_own_has_workers_of_its_own() -> None:
    assert workers(gpu("bundle")) == {
        "thinker": (1, 4, {"cpu": "2", "nvidia.com/gpu": "1"}),
        "shared": (1, 4, {"cpu": "6", "nvidia.com/gpu": "1"}),
    }


def test_without_gpus_all_stages_share_workers() -> None:
    assert workers(small("bundle")) == {"shared": (1, 1, {"cpu": "1"})}


def test_an_unused_stage_frees_its_workers_but_the_gateway_stays() -> None:
    unused = StageConfig(gpus=2, min_replicas=0, max_replicas=3)
    assert workers(ServeConfig(bundle="bundle", stages=dict.fromkeys(STAGES, unused))) == {
        "shared": (1, 1, {"cpu": "1"}),
        **{name: (0, 3, {"cpu": "1", "nvidia.com/gpu": "2"}) for name in ("thinker", "speech-decoder", "token2wav")},
    }


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--port", "0"], "port: expected 1 to 65535"), (["--bundle", "/nowhere"], "/nowhere")],
    ids=str,
)
def test_a_job_that_cannot_start_says_why(options: list[str], named: str) -> None:
    with pytest.raises(SystemExit, match=named):
        job.main(["--bundle", "/nowhere", *options])

"""Deployments as files, and what of them Serve applies to replicas that run."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray import serve
from ray.serve._private.deploy_utils import get_app_code_version
from ray.serve.schema import ServeDeploySchema

from opens2s_core.inference.family import OPENS2S
from ray_jobs import serve as job
from ray_jobs.serve_recipes import RECIPES, gpu, small
from serve_app import app
from serve_app.app import GATEWAY, build_app, deployment_options, gateway_options, serve_app
from serve_app.config import Access, GatewayConfig, Limits, ServeConfig, StageConfig
from serve_app.manifests import ray_service, serve_manifest, to_yaml
from serve_app.ray_settings import RAY_SETTINGS

FOLDER = Path(app.__file__).parent
FILES = [FOLDER / "config.yaml", FOLDER / "ray_service.yaml"]
STAGES = OPENS2S.names
OTHER_SIZES = StageConfig(min_replicas=0, max_replicas=7, target=0.5, upscale_delay=1.0, downscale_delay=9.0)


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
    config = ServeConfig(bundle="bundle")
    gateway = replace(config.gateway, replicas=3, queue=1)
    changed = replace(config, stages=dict.fromkeys(STAGES, OTHER_SIZES), gateway=gateway, drain_seconds=5.0)
    assert version(changed) == version(config)
    before, after = deployed(serve_manifest(config)), deployed(serve_manifest(changed))
    assert all(before[name] != after[name] for name in (*STAGES, GATEWAY))


@pytest.mark.parametrize(
    "change",
    [
        {"bundle": "other"},
        {"stages": {"thinker": StageConfig(capacity=5)}},
        {"stages": {"token2wav": StageConfig(gpus=1.0)}},
        {"stages": {"thinker": StageConfig(context=2048)}},
        {"limits": Limits(max_tokens=1)},
        {"access": Access(keys_file="keys")},
        {"stages": {"speech_decoder": StageConfig(headroom_seconds=0.5)}},
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
        ServeConfig(bundle="bundle", model="mine", log_transcripts=True),
        limits=config.limits,
        access=config.access,
        gateway=GatewayConfig(cpus=1, decode_threads=2),
        stages={
            "thinker": StageConfig(capacity=16, cpus=2, gpus=1),
            "speech_decoder": StageConfig(capacity=16, cpus=2, gpus=0.5),
            "token2wav": StageConfig(capacity=16, cpus=2, gpus=0.5),
        },
    )


def test_no_option_stands_in_two_places() -> None:
    """Of what follows from the arguments a file says nothing more, so that it cannot be changed in one place alone."""
    config = gpu("bundle")
    options = {spec.name: deployment_options(spec, config) for spec in OPENS2S.stages}
    for name, written in deployed(serve_manifest(config)).items():
        known = gateway_options(config) if name == GATEWAY else options[name] | {"num_replicas": "auto"}
        assert written.items() <= known.items()
        assert known.keys() - written.keys() == {"max_ongoing_requests", "ray_actor_options"}


def test_replicas_are_not_made_with_the_sizes_of_stages() -> None:
    sized = replace(gpu("bundle"), stages=dict.fromkeys(STAGES, OTHER_SIZES))
    gateway = build_app(sized)._bound_deployment
    assert gateway.init_args[0].stages == dict.fromkeys(STAGES, StageConfig())
    for spec, bound in zip(OPENS2S.stages, gateway.init_args[1:], strict=True):
        made, build, config = bound._bound_deployment.init_args
        assert (made, build.args, config) == (spec, (spec.name, "bundle", StageConfig()), StageConfig())


def test_as_many_requests_run_as_the_narrowest_stage_has_slots() -> None:
    stages = {"thinker": StageConfig(capacity=8, max_replicas=2), "token2wav": StageConfig(capacity=3, max_replicas=4)}
    config = ServeConfig(bundle="", stages={**stages, "speech_decoder": StageConfig(capacity=20)})
    assert gateway_options(config)["user_config"]["running"] == 12
    assert replace(config, gateway=GatewayConfig(replicas=2)).running == 6


def test_a_stage_scales_as_its_size_says() -> None:
    stage = replace(OTHER_SIZES, capacity=8)
    config = ServeConfig(bundle="", drain_seconds=12.0, stages={"thinker": stage})
    options = deployment_options(OPENS2S.stages[0], config)
    deployment = serve.deployment(**options)(type("Stage", (), {}))
    scaling = deployment._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas) == (0, 7)
    assert scaling.target_ongoing_requests == 4.0
    assert (scaling.upscale_delay_s, scaling.downscale_delay_s, scaling.downscale_to_zero_delay_s) == (1.0, 9.0, 9.0)
    assert scaling.policy.is_default_policy_function()
    assert deployment.max_ongoing_requests == 8
    assert deployment._deployment_config.graceful_shutdown_timeout_s == 12.0


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ({"bundle": "b", "bundel": 1, "stages": {"thinker": {"capcity": 1}}}, "unknown bundel, stages.thinker.capcity"),
        ({"bundle": "b", "stages": {"vocoder": {}}}, "stages: unknown vocoder, expected thinker"),
        ({"bundle": "b", "stages": {"token2wav": {"context": 9}}}, "stages.token2wav.context: expected none"),
        ({"bundle": "b", "family": "moshi"}, "family: expected one of opens2s, got 'moshi'"),
        ({"bundle": "b", "limits": {"max_token": 1}}, "unknown limits.max_token"),
        ({}, "bundle"),
        ({"bundle": 3}, "bundle"),
        ({"bundle": "b", "stages": {"thinker": {"capacity": "4"}}}, "stages.thinker.capacity"),
        ({"bundle": "b", "stages": {"thinker": {"capacity": 1.5}}}, "stages.thinker.capacity"),
        ({"bundle": "b", "stages": {"thinker": {"capacity": 0}}}, "expected at least 1 slot, got 0"),
        ({"bundle": "b", "stages": {"thinker": 4}}, "stages.thinker"),
        ({"bundle": "b", "access": {"cors_origins": "https://a"}}, "access.cors_origins"),
        ({"bundle": "b", "log_transcripts": "no"}, "log_transcripts"),
    ],
    ids=str,
)
def test_arguments_that_do_not_fit_are_named(args: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        serve_app(args)


def test_kuberay_deploys_the_same_and_reachable_from_other_pods() -> None:
    spec = ray_service(gpu("bundle"), "image")["spec"]
    assert yaml.safe_load(spec["serveConfigV2"]) == serve_manifest(replace(gpu("bundle"), host="0.0.0.0"))
    pods = [spec["rayClusterConfig"]["headGroupSpec"], *spec["rayClusterConfig"]["workerGroupSpecs"]]
    for pod in pods:
        [container] = pod["template"]["spec"]["containers"]
        assert container["image"] == "image"
        assert {"name": "serve", "containerPort": 8000} in container["ports"]
        keys, *settings = container["env"]
        assert keys["valueFrom"]["secretKeyRef"]["optional"] is False  # no key must not mean an open door
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
    assert workers(replace(small("bundle"), stages=dict.fromkeys(STAGES, unused))) == {
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

"""The config that Ray's monitor reads, and what the autoscaler has in force against what the trial wants."""

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.backends.live.ray_config import OBJECT_STORE_BYTES, render_config
from orchestrator.inputs.cluster_config import read_cluster_file
from orchestrator.model.cluster import ClusterShape
from orchestrator.model.settings import Settings
from orchestrator.rayapi.live_settings import differences
from orchestrator.rayapi.version import cluster_config_schema
from orchestrator.sweeps.fit import fit_shape
from tests.support.builders import FOREIGN_PROVIDERS
from tests.support.strategies import machines, settings

FILE = read_cluster_file(Path(__file__).parents[4] / "cluster" / "local.yaml")
SCHEMA = jsonschema.Draft7Validator(cluster_config_schema())
PROVIDER = {"module": "lab.Provider", "cluster_dir": "/home/lab/clusters/c0ffee00", "head_node_id": "ab" * 28}


def _rendered(
    settings: Settings | None = None, shape: ClusterShape = FILE.shape, raw: dict[str, Any] = FILE.raw
) -> dict[str, Any]:
    config = yaml.safe_load(render_config(raw, shape, settings or Settings(), "c0ffee00", PROVIDER))
    assert isinstance(config, dict)
    return config


def _in_force(settings: Settings, shape: ClusterShape = FILE.shape) -> dict[str, Any]:
    """What an autoscaler reports that took over everything, as `settings_in_force` does."""
    return {
        "autoscaler": settings.autoscaler,
        "upscaling_speed": settings.effective_upscaling_speed,
        "idle_timeout_minutes": settings.idle_timeout_minutes,
        "max_workers": shape.max_workers,
        "node_types": {worker.name: [worker.min_workers, worker.max_workers] for worker in shape.workers},
        "max_concurrent_launches": settings.max_concurrent_launches,
        "max_launch_batch": settings.max_launch_batch,
        "update_interval_s": settings.update_interval_s,
    }


@given(settings().filter(lambda drawn: drawn.target_utilization_fraction is None), machines())
def test_rays_own_schema_accepts_the_config_of_any_settings_on_any_machine(drawn: Settings, machine: Any) -> None:
    config = _rendered(drawn, fit_shape(FILE.shape, machine))

    assert [] == [error.message for error in SCHEMA.iter_errors(config)]


def test_the_fraction_is_all_that_rays_schema_rejects_for_v1() -> None:
    config = _rendered(Settings(autoscaler="v1", target_utilization_fraction=0.8))
    rejected = [error.message for error in SCHEMA.iter_errors(config)]

    assert 1 == len(rejected)
    assert "'target_utilization_fraction' was unexpected" in rejected[0]


def test_the_fraction_takes_the_files_speed_away() -> None:
    """Ray reads it only where no speed is set."""
    config = _rendered(Settings(autoscaler="v1", target_utilization_fraction=0.8))

    assert "upscaling_speed" in FILE.raw
    assert "upscaling_speed" not in config
    assert 0.8 == config["target_utilization_fraction"]


def test_speed_and_idle_timeout_of_the_settings_replace_those_of_the_file() -> None:
    config = _rendered(Settings(upscaling_speed=7.5, idle_timeout_minutes=3))

    assert (7.5, 3.0) == (config["upscaling_speed"], config["idle_timeout_minutes"])


def test_unset_settings_leave_speed_and_idle_timeout_as_the_file_has_them() -> None:
    config = _rendered()

    assert FILE.raw["upscaling_speed"] == config["upscaling_speed"]
    assert FILE.raw["idle_timeout_minutes"] == config["idle_timeout_minutes"]


def test_v1_gets_rays_idle_timeout_where_neither_the_settings_nor_the_file_have_one() -> None:
    raw = {key: value for key, value in FILE.raw.items() if key != "idle_timeout_minutes"}
    rendered = [
        yaml.safe_load(render_config(raw, FILE.shape, Settings(autoscaler=version), "c0ffee", {"module": "m.C"}))
        for version in ("v1", "v2")
    ]

    assert [5.0, None] == [config.get("idle_timeout_minutes") for config in rendered]


@given(machines())
def test_worker_limits_and_resources_are_those_of_the_shape(machine: Any) -> None:
    shape = fit_shape(FILE.shape, machine)
    config = _rendered(shape=shape)

    assert shape.max_workers == config["max_workers"]
    for worker in shape.workers:
        section = config["available_node_types"][worker.name]
        assert (worker.min_workers, worker.max_workers) == (section["min_workers"], section["max_workers"])
        assert worker.resources == section["resources"]


def test_resources_are_integers_since_rays_schema_wants_them_so() -> None:
    section = _rendered()["available_node_types"]["x86_worker_node"]

    assert {int} == {type(amount) for amount in section["resources"].values()}


def test_the_cluster_is_named_after_its_id() -> None:
    assert "orchestrate-c0ffee00" == _rendered()["cluster_name"]


def test_the_provider_is_told_where_the_cluster_is() -> None:
    provider = _rendered()["provider"]
    expected = {
        "type": "external",
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
        **PROVIDER,
        "head_node_type": "head_node",
        "object_store_memory": OBJECT_STORE_BYTES,
    }

    assert expected == {key: value for key, value in provider.items() if key not in ("launch", "simulation")}


def test_the_provider_gets_the_launch_model_with_all_defaults_filled_in() -> None:
    assert FILE.shape.launch == type(FILE.shape.launch).model_validate(_rendered()["provider"]["launch"])


def test_keys_without_which_rays_monitor_dies_are_added() -> None:
    needed = {"cluster_name", "provider", "available_node_types", "head_node_type"}
    bare = {key: value for key, value in FILE.raw.items() if key in needed}

    assert FILE.raw.keys() - {"upscaling_speed", "idle_timeout_minutes"} <= _rendered(raw=bare).keys()


@pytest.mark.parametrize("provider", FOREIGN_PROVIDERS, ids=lambda provider: str(provider["type"]))
def test_whatever_provider_the_file_names_ray_gets_that_of_the_backend(provider: dict[str, Any]) -> None:
    rendered = _rendered(raw={**FILE.raw, "provider": provider})

    assert rendered == _rendered()
    assert (rendered["provider"]["type"], rendered["provider"]["module"]) == ("external", PROVIDER["module"])


def test_credentials_commands_and_files_for_another_cloud_never_reach_ray() -> None:
    raw = {
        **FILE.raw,
        "auth": {"ssh_user": "ubuntu", "ssh_private_key": "~/.ssh/key.pem"},
        "setup_commands": ["pip install -U ray"],
        "file_mounts": {"/app": "/home/me/app"},
        "docker": {"image": "rayproject/ray", "container_name": "ray"},
    }

    assert _rendered(raw=raw) == _rendered()


def test_keys_of_a_node_type_that_decide_stay() -> None:
    types = copy.deepcopy(FILE.raw["available_node_types"])
    types["arm_worker_node"] |= {"priority": 5, "idle_timeout_s": 30}
    section = _rendered(raw={**FILE.raw, "available_node_types": types})["available_node_types"]["arm_worker_node"]

    assert (section["priority"], section["idle_timeout_s"], section["node_config"]) == (5, 30, {})


def test_rendering_leaves_the_users_config_alone() -> None:
    before = copy.deepcopy(FILE.raw)
    _rendered(Settings(upscaling_speed=9, idle_timeout_minutes=9), FILE.shape.with_settings(Settings(max_workers=3)))

    assert before == FILE.raw


@given(settings())
def test_rendering_is_deterministic(drawn: Settings) -> None:
    assert _rendered(drawn) == _rendered(drawn)


@given(settings())
def test_there_is_no_difference_where_everything_is_in_force(drawn: Settings) -> None:
    assert [] == differences(_in_force(drawn), drawn, FILE.shape)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("autoscaler", "v1"),
        ("upscaling_speed", 1.0),
        ("idle_timeout_minutes", 5.0),
        ("max_concurrent_launches", 1),
        ("max_launch_batch", 1),
        ("update_interval_s", 1),
        ("node_types", {"x86_worker_node": [1, 8]}),
        ("upscaling_speed", None),
    ],
)
def test_each_difference_is_named_with_what_is_and_what_should_be(key: str, value: Any) -> None:
    wanted = Settings(upscaling_speed=5, idle_timeout_minutes=0.25)
    right = _in_force(wanted)

    assert [f"{key} is {value}, not {right[key]}"] == differences({**right, key: value}, wanted, FILE.shape)


@given(st.sets(st.sampled_from(["autoscaler", "max_launch_batch", "update_interval_s", "node_types"])))
def test_all_differences_are_named_together(missing: set[str]) -> None:
    wanted = Settings()
    in_force = {key: value for key, value in _in_force(wanted).items() if key not in missing}

    assert missing == {phrase.split()[0] for phrase in differences(in_force, wanted, FILE.shape)}


def test_settings_left_to_the_file_are_not_compared() -> None:
    in_force = {**_in_force(Settings()), "upscaling_speed": 0.0, "idle_timeout_minutes": 5.0}

    assert [] == differences(in_force, Settings(), FILE.shape)


def test_a_speed_that_differs_by_rays_rounding_only_is_the_same() -> None:
    wanted = Settings(autoscaler="v1", target_utilization_fraction=0.3)

    assert [] == differences({**_in_force(wanted), "upscaling_speed": 1 / 0.3 - 1}, wanted, FILE.shape)


def test_whole_numbers_are_the_same_with_and_without_a_point() -> None:
    wanted = Settings(upscaling_speed=5)

    assert [] == differences({**_in_force(wanted), "upscaling_speed": 5}, wanted, FILE.shape)


def test_worker_limits_that_are_not_yet_in_force_are_a_difference() -> None:
    wanted = FILE.shape.with_settings(Settings(max_workers=3))
    phrases = differences(_in_force(Settings()), Settings(), wanted)

    assert ["node_types", "max_workers"] == [phrase.split()[0] for phrase in phrases]

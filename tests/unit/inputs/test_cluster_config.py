"""Cluster files: what is read from a good one, and one line that names file and key for each bad one."""

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import SpecError
from orchestrator.inputs.cluster_config import read_cluster_file
from orchestrator.inputs.yaml_file import MAX_FILE_BYTES, read_yaml_mapping
from orchestrator.model.cluster import NodeType
from tests.support.strategies import INFINITY, NAN

SHIPPED = Path(__file__).parents[3] / "cluster" / "local.yaml"
RAW: dict[str, Any] = yaml.safe_load(SHIPPED.read_text())
X86 = ("available_node_types", "x86_worker_node")
LAUNCH = ("provider", "launch")
MISSING: Any = object()

Edit = tuple[tuple[Any, ...], Any]
T = TypeVar("T")


def _edited(*edits: Edit) -> dict[str, Any]:
    """The shipped config with the values at these paths replaced, or left out where they are MISSING."""
    document = copy.deepcopy(RAW)
    for (*path, last), value in edits:
        section: Any = document
        for key in path:
            section = section[key]
        if value is MISSING:
            del section[last]
        else:
            section[last] = value
    return document


def _problem(path: Path, read: Callable[[Path], Any] = read_cluster_file) -> str:
    """The message with which `path` is refused, without the folder; it is one line and means exit code 2."""
    with pytest.raises(SpecError) as refused:
        read(path)
    assert 2 == refused.value.exit_code
    assert 1 == len(refused.value.message.splitlines())
    assert refused.value.message.startswith(str(path))
    return refused.value.message.removeprefix(str(path))


def _read_or_refusal(path: Path, read: Callable[[Path], T]) -> T | str:
    """What `read` makes of the file, or the message with which it refuses it; any other error is a failure."""
    try:
        return read(path)
    except SpecError as refused:
        return refused.message


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cluster.yaml"


def _write(file: Path, *edits: Edit) -> None:
    file.write_text(yaml.safe_dump(_edited(*edits), sort_keys=False))


def _problem_of(file: Path, *edits: Edit) -> str:
    _write(file, *edits)
    return _problem(file)


# Reading YAML


def test_a_mapping_is_read_as_it_stands(file: Path) -> None:
    file.write_text("a: 1\nb: [x, y]\n")

    assert {"a": 1, "b": ["x", "y"]} == read_yaml_mapping(file)


def test_a_byte_order_mark_is_passed_over(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfa: 1\n")

    assert {"a": 1} == read_yaml_mapping(file)


def test_a_missing_file_is_called_so(file: Path) -> None:
    assert ": no such file" == _problem(file)


def test_a_folder_is_called_so(tmp_path: Path) -> None:
    assert ": a folder, not a file" == _problem(tmp_path)


def test_a_name_that_is_too_long_for_a_file_is_called_so(tmp_path: Path) -> None:
    assert ": can't be read: File name too long" == _problem(tmp_path / ("x" * 300))


def test_a_name_with_a_null_byte_is_refused() -> None:
    assert "no path" in _problem(Path("a\0b"))


def test_a_device_is_refused() -> None:
    assert "not a file" in _problem(Path(os.devnull))


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "null\n", "~"])
def test_an_empty_file_is_called_so(file: Path, text: str) -> None:
    file.write_text(text)

    assert ": the file is empty" == _problem(file)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"\x7fELF\x02\x01\x01\x80\x81", b"\x80", "größe: 1".encode("latin-1")]
)
def test_a_binary_file_is_called_so(file: Path, content: bytes) -> None:
    file.write_bytes(content)

    assert ": not a text file" == _problem(file)


def test_control_characters_are_not_valid_yaml(file: Path) -> None:
    file.write_bytes(b"a: \x00\x01")

    assert "not valid YAML" in _problem(file)


def test_a_file_that_is_too_large_is_not_even_read(file: Path) -> None:
    file.write_bytes(b"#" * (MAX_FILE_BYTES + 1))

    assert f"larger than {MAX_FILE_BYTES} bytes" in _problem(file)


@pytest.mark.parametrize(("text", "found"), [("- 1", "list"), ("hello", "str"), ("5", "int"), ("2026-01-01", "date")])
def test_anything_but_a_mapping_is_refused_by_its_kind(file: Path, text: str, found: str) -> None:
    file.write_text(text)

    assert f": expected keys and values, found {found}" == _problem(file)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: b: c", 1),
        ("a: 1\n\tb: 2", 2),
        ("a: 1\nb: 'open", 2),
        ("a: 1\nb: *nobody", 2),
        ("a: !!python/object:os.system x", 1),
        ("? [1]\n: 2", 1),
    ],
)
def test_a_mistake_in_the_yaml_is_named_by_its_line(file: Path, text: str, line: int) -> None:
    file.write_text(text)

    assert _problem(file).startswith(f":{line}: not valid YAML: ")


@pytest.mark.parametrize("text", ["a: " + "9" * 5000, "a: 2001-99-99", "[" * 1000, "{" * 1000])
def test_a_value_that_python_can_not_hold_is_no_valid_yaml(file: Path, text: str) -> None:
    file.write_text(text)

    assert ": not valid YAML: a value can't be read" == _problem(file)


@pytest.mark.parametrize("text", ['a: !!int ""', "a: !!timestamp x", "a: !!bool x"])
def test_a_value_that_does_not_suit_its_tag_is_no_valid_yaml(file: Path, text: str) -> None:
    file.write_text(text)

    assert "not valid YAML" in _problem(file)


@given(text=st.text(max_size=60) | st.text("{}[]:-!&*|>'\"% \n\tab0.", max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_read_or_refused_in_one_line(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", errors="replace")
    read = _read_or_refusal(file, read_yaml_mapping)

    assert isinstance(read, dict) or 1 == len(read.splitlines())


# What is read


def test_the_shipped_local_cluster_has_the_shape_of_the_experiment_on_ec2() -> None:
    """A head that runs no task, one to eight x86 and one to eight Graviton workers of 8 CPUs each."""
    shape = read_cluster_file(SHIPPED).shape
    workers = (
        NodeType(
            name="x86_worker_node",
            arch="x86_64",
            instance_type="m7i.2xlarge",
            resources={"CPU": 8, "Intel": 1},
            min_workers=1,
            max_workers=8,
        ),
        NodeType(
            name="arm_worker_node",
            arch="arm64",
            instance_type="m8g.2xlarge",
            resources={"CPU": 8, "Graviton": 1},
            min_workers=1,
            max_workers=8,
        ),
    )

    assert workers == shape.workers
    assert ("head_node", "x86_64", 0) == (shape.head.name, shape.head.arch, shape.head.cpus)
    assert (16, 16.0, 128.0) == (shape.max_workers, shape.baseline_cpus, shape.max_cpus)


def test_the_shipped_local_cluster_models_the_latencies_of_a_cloud() -> None:
    launch = read_cluster_file(SHIPPED).shape.launch

    assert launch.request.mean_s > 0
    assert launch.boot.mean_s > launch.request.mean_s


def test_speed_and_idle_timeout_of_the_file_are_kept_as_ray_reads_them() -> None:
    cluster = read_cluster_file(SHIPPED)

    assert (RAW["upscaling_speed"], RAW["idle_timeout_minutes"]) == (
        cluster.upscaling_speed,
        cluster.idle_timeout_minutes,
    )
    assert RAW == cluster.raw
    assert ("", ()) == (cluster.launch_text, cluster.notes)


def test_a_file_without_speed_and_idle_timeout_leaves_them_to_ray(file: Path) -> None:
    _write(file, (("upscaling_speed",), MISSING), (("idle_timeout_minutes",), MISSING))
    cluster = read_cluster_file(file)

    assert (None, None) == (cluster.upscaling_speed, cluster.idle_timeout_minutes)


def test_a_type_without_a_maximum_has_that_of_the_cluster_as_in_ray(file: Path) -> None:
    _write(file, ((*X86, "max_workers"), MISSING))

    assert 16 == read_cluster_file(file).shape.workers[0].max_workers


def test_a_cluster_without_a_total_may_hold_all_its_types_together(file: Path) -> None:
    _write(file, (("max_workers",), MISSING))

    assert 16 == read_cluster_file(file).shape.max_workers


def test_a_provider_without_launch_takes_a_profile_and_says_so(file: Path) -> None:
    """A launch that takes no time would be no machine."""
    _write(file, (LAUNCH, MISSING))
    cluster = read_cluster_file(file)

    assert all(seconds > 1 for seconds in cluster.shape.launch.latencies(0, "x86_worker_node", 0)._replace(terminate=9))
    assert "aws-al2023-x86 and aws-al2023-arm" in cluster.launch_text
    assert "--launch-profile" in cluster.launch_text


def test_a_provider_with_a_launch_of_nothing_answers_at_once_and_says_so(file: Path) -> None:
    _write(file, (LAUNCH, {}))
    cluster = read_cluster_file(file)

    assert (0.0, 0.0, 0.0, 0.0) == cluster.shape.launch.latencies(0, "x86_worker_node", 0)
    assert "" == cluster.launch_text
    assert ("provider.launch names no request and no boot and no install, which takes 0 s then",) == cluster.notes


@pytest.mark.parametrize("speed", [9_999_999, 1e18])
def test_a_speed_has_no_upper_limit_as_in_ray(file: Path, speed: float) -> None:
    _write(file, (("upscaling_speed",), speed), (("idle_timeout_minutes",), 99_999_999))
    cluster = read_cluster_file(file)

    assert (speed, 99_999_999) == (cluster.upscaling_speed, cluster.idle_timeout_minutes)


def test_limits_of_nines_are_taken(file: Path) -> None:
    _write(file, (("max_workers",), 999_999), ((*X86, "max_workers"), 999_999))

    assert 999_999 == read_cluster_file(file).shape.max_workers


def test_of_a_key_that_appears_twice_the_last_one_counts_as_in_ray_and_a_note_says_so(file: Path) -> None:
    file.write_text(f"{SHIPPED.read_text()}max_workers: 4\n")
    cluster = read_cluster_file(file)

    assert 4 == cluster.shape.max_workers
    (note,) = cluster.notes
    assert "the key 'max_workers' appears twice; Ray takes the last one" in note


def test_empty_keys_of_old_files_and_a_minimum_of_the_whole_cluster_are_dropped(file: Path) -> None:
    _write(file, (("head_node",), {}), (("worker_nodes",), {}), (("min_workers",), 3))
    cluster = read_cluster_file(file)

    assert 1 == cluster.shape.workers[0].min_workers
    assert cluster.notes[0].startswith("Ray ignores min_workers of the whole cluster")


def test_a_variable_that_nobody_filled_in_is_refused_with_the_way_out(file: Path) -> None:
    _write(file, (("max_workers",), "${MAX}"))
    with pytest.raises(SpecError, match=r"max_workers: '\$\{MAX\}' is not of type 'integer'") as refused:
        read_cluster_file(file)

    assert "envsubst" in str(refused.value.hint)


# What is refused

REFUSED: list[tuple[str, Edit, str]] = [
    ("unknown key", (("upscalingspeed",), 1), "'upscalingspeed' was unexpected"),
    ("unknown key that is no word", ((1,), 2), "the key 1 isn't a string"),
    ("unknown key of a node type", ((*X86, "max_worker"), 1), "x86_worker_node: Additional properties"),
    ("no provider", (("provider",), MISSING), "'provider' is a required property"),
    ("provider of wrong type", (("provider",), "aws"), "provider: 'aws' is not of type 'object'"),
    ("total of wrong type", (("max_workers",), "many"), "max_workers: 'many' is not of type 'integer'"),
    ("negative total", (("max_workers",), -1), "max_workers: -1 is less than the minimum of 0"),
    ("negative speed", (("upscaling_speed",), -1), "upscaling_speed: -1 is less than the minimum of 0"),
    ("no node types", (("available_node_types",), MISSING), "head_node_type: 'head_node' isn't one of"),
    ("null node types", (("available_node_types",), None), "available_node_types: None is not of type 'object'"),
    ("no head", (("head_node_type",), MISSING), "head_node_type: "),
    ("unknown head", (("head_node_type",), "boss"), "head_node_type: 'boss' isn't one of available_node_types"),
    (
        "head without workers",
        (("available_node_types",), {"head_node": RAW["available_node_types"]["head_node"]}),
        "available_node_types: no worker node type",
    ),
    ("null worker", (X86, None), "available_node_types.x86_worker_node: None is not of type 'object'"),
    ("total of zero", (("max_workers",), 0), "max_workers: 0 for all worker node types"),
    ("total below the minima", (("max_workers",), 1), "max_workers 1 is below the sum of all min_workers, 2"),
    ("minimum above maximum", ((*X86, "min_workers"), 9), "x86_worker_node: min_workers 9 is above max_workers 8"),
    ("negative minimum", ((*X86, "min_workers"), -1), "x86_worker_node.min_workers: "),
    ("huge maximum", ((*X86, "max_workers"), 10**9), "x86_worker_node.max_workers: "),
    ("no resources", ((*X86, "resources"), MISSING), "x86_worker_node: 'resources' is a required property"),
    ("negative CPUs", ((*X86, "resources", "CPU"), -8), "x86_worker_node.resources.CPU: -8"),
    ("half CPUs", ((*X86, "resources", "CPU"), 0.5), "x86_worker_node.resources.CPU: 0.5"),
    ("not a number of CPUs", ((*X86, "resources", "CPU"), NAN), "x86_worker_node.resources.CPU: nan"),
    ("more CPUs than a float holds", ((*X86, "resources", "CPU"), 10**400), "x86_worker_node.resources.CPU: "),
    ("label that is no word", ((*X86, "labels"), {"zone": 1}), "x86_worker_node.labels.zone: 1"),
    ("launch that is no mapping", (LAUNCH, "fast"), "provider.launch: expected keys and values"),
    ("launch that is a list", (LAUNCH, [1]), "provider.launch: expected keys and values"),
    ("launch that is null", (LAUNCH, None), "provider.launch: expected keys and values"),
    ("launch with unknown key", ((*LAUNCH, "reboot"), {}), "provider.launch.reboot: "),
    ("launch seed of wrong type", ((*LAUNCH, "seed"), "dice"), "provider.launch.seed: "),
    ("boot that is no mapping", ((*LAUNCH, "boot"), 5), "provider.launch.boot: "),
    ("boot with unknown key", ((*LAUNCH, "boot", "sgima"), 5), "provider.launch.boot.sgima: "),
    ("negative mean", ((*LAUNCH, "boot", "mean_s"), -1), "provider.launch.boot.mean_s: "),
    ("mean that is no number", ((*LAUNCH, "boot", "mean_s"), NAN), "provider.launch.boot.mean_s: "),
    ("infinite mean", ((*LAUNCH, "request", "mean_s"), INFINITY), "provider.launch.request.mean_s: "),
    ("unknown distribution", ((*LAUNCH, "boot", "distribution"), "weibull"), "provider.launch.boot.distribution: "),
]


@pytest.mark.parametrize(
    ("edit", "problem"),
    [pytest.param(edit, said, id=name) for name, edit, said in REFUSED],
)
def test_a_wrong_value_is_refused_by_its_key(file: Path, edit: Edit, problem: str) -> None:
    assert problem in _problem_of(file, edit)


def test_target_utilization_fraction_is_refused_with_the_way_to_sweep_it(file: Path) -> None:
    _write(file, (("target_utilization_fraction",), 0.8))
    with pytest.raises(SpecError, match="target_utilization_fraction") as refused:
        read_cluster_file(file)

    assert 2 == refused.value.exit_code
    assert "--target-utilization-fraction" in str(refused.value.hint)
    assert "--autoscaler v1" in str(refused.value.hint)


@pytest.mark.parametrize(
    "edit",
    [
        (("available_node_types", 3), {"resources": {}, "node_config": {}}),
        ((*X86, "resources", True), 2),
        ((*X86, "labels"), {1: "x"}),
    ],
)
def test_a_name_that_yaml_reads_as_number_or_boolean_is_refused_by_its_key(file: Path, edit: Edit) -> None:
    assert "available_node_types" in _problem_of(file, edit)


@pytest.mark.parametrize("key", ["upscaling_speed", "idle_timeout_minutes"])
@pytest.mark.parametrize("value", [NAN, INFINITY, 10**400])
def test_speed_and_idle_timeout_are_refused_where_they_are_not_finite(file: Path, key: str, value: float) -> None:
    assert key in _problem_of(file, ((key,), value))


def test_a_huge_total_is_refused_by_its_own_key(file: Path) -> None:
    assert _problem_of(file, (("max_workers",), 2_000_000)).startswith(": max_workers: ")


def test_a_line_break_in_a_name_does_not_break_the_message(file: Path) -> None:
    assert "available_node_types" in _problem_of(file, (("available_node_types", "a\nb"), {}))


def test_a_latency_that_is_no_mapping_is_refused_in_the_users_words(file: Path) -> None:
    assert "Delay" not in _problem_of(file, ((*LAUNCH, "boot"), 5))


def _paths(section: Any, *path: Any) -> list[tuple[Any, ...]]:
    keys = section.keys() if isinstance(section, dict) else []
    return [inner for key in keys for inner in [(*path, key), *_paths(section[key], *path, key)]]


ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e6, 1e6) | st.text("abc:", max_size=5) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(path=st.sampled_from(_paths(RAW)), value=ANY_VALUE | st.just(MISSING))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_value_at_any_key_is_read_or_refused_in_one_line(file: Path, path: tuple[Any, ...], value: Any) -> None:
    _write(file, (path, value))
    read = _read_or_refusal(file, lambda path: read_cluster_file(path).shape)

    if isinstance(read, str):
        assert 1 == len(read.splitlines())
    else:
        assert sum(read.baseline.values()) <= read.max_workers


@pytest.mark.parametrize("backend", ["local", "docker"])
def test_nodes_on_this_machine_are_started_without_updaters(backend: str) -> None:
    """The simulator replays their trials, and installs nothing through Ray's updaters either."""
    shipped = read_cluster_file(Path(__file__).parents[3] / "cluster" / f"{backend}.yaml")

    assert not shipped.shape.simulation.node_updaters


def test_a_foreign_file_has_updaters_in_the_cloud_and_none_on_this_machine() -> None:
    """Its provider's updaters install Ray in the cloud; the backends' own providers have none."""
    path = Path(__file__).parents[2] / "data" / "cluster_files" / "public" / "guide-lesson-2.yaml"

    assert read_cluster_file(path).shape.simulation.node_updaters
    assert not read_cluster_file(path, real_nodes=True).shape.simulation.node_updaters

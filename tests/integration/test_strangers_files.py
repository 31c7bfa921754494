"""Cluster files of other people, cut to what decides: each gives the right number, or a refusal that helps."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.orchestrate_command import Orchestrate

FILES = Path(__file__).parents[1] / "data" / "cluster_files"
HEAD = "head: {resources: {CPU: 0}, node_config: {InstanceType: m7i.xlarge}}"
LAUNCH = "launch: {request: {mean_s: 3}, boot: {mean_s: 60}}"


def written(folder: Path, text: str) -> str:
    path = folder / "cluster.yaml"
    path.write_text(text)
    return str(path)


def summary(orchestrate: Orchestrate, cluster: str, *options: str) -> dict[str, Any]:
    """The document of a simulated sweep, with the medians of its settings under `rows`."""
    result = orchestrate("simulate", "--cluster", cluster, *options, "--json", "-")
    assert result.returncode == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    document["rows"] = [
        {name: value["median"] for name, value in row.items() if isinstance(value, dict) and "median" in value}
        for row in document["summary"]
    ]
    document["printed"] = result.stderr
    return document


def test_a_file_without_head_node_type_has_rays_default(orchestrate: Orchestrate, tmp_path: Path) -> None:
    """As Ray's example-minimal.yaml: H02."""
    text = f"""
cluster_name: minimal
provider: {{type: aws, region: us-west-2, {LAUNCH}}}
max_workers: 4
available_node_types:
  ray.head.default: {{resources: {{CPU: 0}}, node_config: {{InstanceType: m7i.large}}}}
  ray.worker.default:
    {{min_workers: 1, max_workers: 4, resources: {{CPU: 2}}, node_config: {{InstanceType: m7i.large}}}}
"""
    found = summary(orchestrate, written(tmp_path, text), "--tasks", "8", "--task-seconds", "10")

    assert [trial["scorecard"]["valid"] for trial in found["trials"]] == [True]


def test_empty_resources_are_those_of_the_instance_type(orchestrate: Orchestrate, tmp_path: Path) -> None:
    """As all AWS examples of Ray: eight tasks fit on the one m7i.2xlarge that is there. H03."""
    text = f"""
cluster_name: autodetected
max_workers: 4
provider: {{type: aws, region: us-west-2}}
head_node_type: head
available_node_types:
  {HEAD}
  worker: {{min_workers: 1, max_workers: 4, resources: {{}}, node_config: {{InstanceType: m7i.2xlarge}}}}
"""
    (row,) = summary(orchestrate, written(tmp_path, text), "--tasks", "8", "--task-seconds", "10")["rows"]

    assert row["launches"] == 0
    assert row["makespan_s"] == pytest.approx(10, abs=1)


def test_a_missing_speed_is_1_on_aws(orchestrate: Orchestrate, tmp_path: Path) -> None:
    """264.8 s and 144.8 s with that speed; 334.8 s and 254.8 s without any. H04."""
    text = f"""
cluster_name: nospeed
max_workers: 40
provider: {{type: aws, region: us-west-2, {LAUNCH}}}
head_node_type: head
available_node_types:
  {HEAD}
  worker: {{min_workers: 2, max_workers: 40, resources: {{CPU: 8}}, node_config: {{InstanceType: m7i.2xlarge}}}}
"""
    found = summary(orchestrate, written(tmp_path, text), "--tasks", "320", "--task-seconds", "120")

    assert ["v2 speed=1 idle=5"] == [row["label"] for row in found["summary"]]
    assert (264.8, 144.8) == pytest.approx(
        (found["rows"][0]["makespan_s"], found["rows"][0]["time_to_peak_s"]), abs=0.1
    )


def test_a_file_without_latencies_takes_a_profile_and_each_result_says_so(
    orchestrate: Orchestrate, tmp_path: Path
) -> None:
    """Not machines that boot in 0 s. H05."""
    cluster = str(FILES / "public" / "guide-lesson-5-spot.yaml")
    found = summary(orchestrate, cluster, "--upscaling-speed", "1,10")
    other = summary(orchestrate, cluster, "--launch-profile", "kuberay-warm")
    report = tmp_path / "report.md"
    assert orchestrate("report", found["sweep_id"], "--format", "md", "--to", str(report)).returncode == 0
    plan = orchestrate("sweep", "--cluster", cluster, "--fit", "none", "--dry-run").stdout

    assert all(row["time_to_first_node_s"] > 60 for row in found["rows"])
    assert other["rows"][0]["time_to_first_node_s"] < 25
    (launches, prices) = found["assumptions"]
    assert launches.startswith("the cluster file gives no provider.launch: launches as in profile aws-al2023-x86")
    assert "on spot for x86_worker_node, arm_worker_node" in prices
    assert other["assumptions"][0].startswith("launches as in profile kuberay-warm")
    told = " ".join(launches.split())
    for text in (found["printed"], report.read_text(), orchestrate("show", found["sweep_id"]).stdout):
        assert told in " ".join(text.split())
    assert f"assumption: {told}" in " ".join(orchestrate("recommend", found["sweep_id"]).stdout.split())
    assert "which is real; --launch-profile changes it" in " ".join(plan.split())
    assert (
        "--launch-profile kuberay-warm"
        in orchestrate("report", other["sweep_id"], "--format", "md", "--to", "-").stdout
    )


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_every_command_that_shows_results_shows_what_they_rest_on(
    orchestrate: Orchestrate, tmp_path: Path, as_json: bool
) -> None:
    """Not the sweep's own table alone."""
    cluster = str(FILES / "public" / "guide-lesson-5-spot.yaml")
    found = summary(orchestrate, cluster, "--upscaling-speed", "1,10", "--tasks", "32")
    sweep, trial = found["sweep_id"], found["trials"][0]["trial_id"]
    more = ("--json",) if as_json else ()
    commands: list[tuple[str, ...]] = [
        ("show", sweep, *more),
        ("show", f"{sweep}/{trial}", *more),
        ("recommend", sweep, *more),
        ("explain", f"{sweep}/{trial}", *more),
        ("explain", f"{sweep}/{trial}", "--at", "20s", *more),
        ("validate", f"{sweep}/{trial}", *more),
        ("compare", f"{sweep}:upscaling_speed=1", f"{sweep}:upscaling_speed=10", *(("--json", "-") if as_json else ())),
    ]
    if not as_json:
        commands.append(("export", sweep, "--to", str(tmp_path / "export")))
    for command in commands:
        said = " ".join(orchestrate(*command).stdout.split())
        for assumption in found["assumptions"]:
            assert " ".join(assumption.split()) in said, command
    if not as_json:
        assert found["assumptions"][0] in (tmp_path / "export" / "data-dictionary.md").read_text()


def test_the_guides_file_behaves_like_its_built_in_twin(orchestrate: Orchestrate) -> None:
    """First node, peak, makespan and cost are within what the twin's own repeats show."""
    options = ("--upscaling-speed", "1,10", "--repeat", "10", "--parallel", "1")
    twin = orchestrate("simulate", *options, "--json", "-")
    guide = summary(orchestrate, str(FILES / "guide.yaml"), *options)

    for ours, theirs in zip(guide["summary"], json.loads(twin.stdout)["summary"], strict=True):
        for name in ("time_to_first_node_s", "time_to_peak_s", "makespan_s", "cost_usd"):
            assert theirs[name]["low"] <= ours[name]["median"] <= theirs[name]["high"], name
    assert "aws-al2023-x86" in guide["assumptions"][0]


def test_spot_workers_are_priced_on_the_spot_market(orchestrate: Orchestrate, tmp_path: Path) -> None:
    """0.196 dollars instead of 0.432. H10."""
    text = f"""
cluster_name: spot
max_workers: 8
provider: {{type: aws, region: us-east-1, launch: {{boot: {{mean_s: 60}}}}}}
head_node_type: head
available_node_types:
  {HEAD}
  worker:
    min_workers: 1
    max_workers: 8
    resources: {{CPU: 8}}
    node_config: {{InstanceType: m7i.2xlarge, InstanceMarketOptions: {{MarketType: spot}}}}
"""
    path = written(tmp_path, text)
    options = ("--tasks", "64", "--task-seconds", "120")
    (by_file,) = summary(orchestrate, path, *options)["rows"]
    (on_demand,) = summary(orchestrate, path, *options, "--prices", "us-east-1")["rows"]

    assert by_file["cost_usd"] == pytest.approx(0.196, abs=0.001)
    assert on_demand["cost_usd"] == pytest.approx(0.432, abs=0.001)


@pytest.mark.parametrize(
    "leftovers",
    ["upscaling_speed: 9999999", "head_node: {}\nworker_nodes: {}", "min_workers: 0"],
)
def test_what_ray_takes_is_taken(orchestrate: Orchestrate, tmp_path: Path, leftovers: str) -> None:
    """Huge speeds (H12) and empty keys of old files (H17)."""
    text = f"""
cluster_name: taken
max_workers: 8
{leftovers}
provider: {{type: aws, region: us-west-2, launch: {{boot: {{mean_s: 60}}}}}}
head_node_type: head
available_node_types:
  {HEAD}
  worker: {{max_workers: 8, resources: {{CPU: 8}}, node_config: {{InstanceType: m7i.2xlarge}}}}
"""
    (row,) = summary(orchestrate, written(tmp_path, text), "--tasks", "8", "--task-seconds", "10")["rows"]

    assert row["makespan_s"] == pytest.approx(80, abs=10)
    assert row["launches"] == 1


def test_a_kuberay_manifest_is_refused_by_its_name(orchestrate: Orchestrate, tmp_path: Path) -> None:
    """H11."""
    text = "apiVersion: ray.io/v1\nkind: RayCluster\nspec: {workerGroupSpecs: [{groupName: small, maxReplicas: 10}]}\n"
    result = orchestrate("simulate", "--cluster", written(tmp_path, text))

    assert result.returncode == 2
    assert "a RayCluster of KubeRay; a cluster config of `ray up` is needed" in result.stderr
    assert "small: {min_workers: 0, max_workers: 10" in result.stderr


@pytest.mark.parametrize(
    ("resource", "problem"),
    [
        ("GPU=1", "no node type can ever run a task that needs 1 CPU, 1 GPU"),
        ("memory=1000000000", "the cluster file doesn't say how much x86_worker_node has"),
        ("object_store_memory=1000000000", "object_store_memory can't be modelled"),
    ],
)
def test_gpus_and_memory_that_no_node_is_known_to_have_are_refused(
    orchestrate: Orchestrate, resource: str, problem: str
) -> None:
    """H18."""
    result = orchestrate("simulate", "--task-resources", resource, "--tasks", "4")

    assert result.returncode == 2
    assert problem in result.stderr


def test_workers_without_cpus_are_refused_with_the_way_out(orchestrate: Orchestrate, tmp_path: Path) -> None:
    """Ray fills in CPUs on AWS only."""
    text = """
cluster_name: empty
max_workers: 2
provider: {type: gcp, region: us-west1, availability_zone: us-west1-a, project_id: null}
head_node_type: head
available_node_types:
  head: {resources: {CPU: 0}, node_config: {machineType: n1-standard-2}}
  worker: {resources: {}, node_config: {machineType: n1-standard-2}}
"""
    result = orchestrate("simulate", "--cluster", written(tmp_path, text), "--tasks", "4")

    assert result.returncode == 2
    assert "Ray fills in a missing CPU on AWS only" in result.stderr


def test_what_is_recommended_for_a_file_of_ray_up_is_a_line_for_ray_up(orchestrate: Orchestrate) -> None:
    cluster = str(FILES / "public" / "guide-lesson-5-spot.yaml")
    assert orchestrate("simulate", "--cluster", cluster, "--autoscaler", "v1,v2", "--tasks", "64").returncode == 0
    lines = orchestrate.json("recommend")["recommendation"]["cluster_config"]

    assert "# environment of `ray up`: RAY_UP_enable_autoscaler_v2=" in lines
    assert "environment of the head" not in lines

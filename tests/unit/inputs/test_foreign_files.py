"""Files that are no cluster configs of `ray up` are called by their name, and the hint says what to do instead."""

import json
from pathlib import Path

import pytest
import yaml

from orchestrator.errors import SpecError
from orchestrator.inputs.cluster_config import read_cluster_file

CLUSTER = (
    "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: mine}\nspec:\n"
    "  workerGroupSpecs: [{groupName: small, minReplicas: 0, maxReplicas: 10, rayStartParams: {}, template: {}}]\n"
)
JOB = (
    "apiVersion: ray.io/v1\nkind: RayJob\nmetadata: {name: mine}\nspec:\n  entrypoint: python a.py\n"
    "  rayClusterSpec: {workerGroupSpecs: [{groupName: gpu, minReplicas: 1, maxReplicas: 5}]}\n"
)
SERVICE = (
    "apiVersion: ray.io/v1\nkind: RayService\nmetadata: {name: mine}\nspec:\n"
    "  rayClusterConfig: {workerGroupSpecs: [{groupName: serve, minReplicas: 2, maxReplicas: 3}]}\n"
)
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: code}\ndata: {a.py: pass}\n"


def refusal(folder: Path, text: str) -> tuple[str, str]:
    """Message without the folder, and hint."""
    path = folder / "mine.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as refused:
        read_cluster_file(path)
    assert refused.value.hint is not None
    return refused.value.message.removeprefix(str(path)), refused.value.hint


@pytest.mark.parametrize(
    ("text", "kind", "group"),
    [
        (CLUSTER, "a RayCluster of KubeRay", "small: {min_workers: 0, max_workers: 10"),
        (JOB, "a RayJob of KubeRay", "gpu: {min_workers: 1, max_workers: 5"),
        (SERVICE, "a RayService of KubeRay", "serve: {min_workers: 2, max_workers: 3"),
        (f"{CLUSTER}---\n{CONFIG_MAP}", "a RayCluster of KubeRay", "small: {min_workers: 0, max_workers: 10"),
        (f"{CONFIG_MAP}---\n{CLUSTER}", "a RayCluster of KubeRay", "small: {min_workers: 0, max_workers: 10"),
        (
            f"apiVersion: v1\nkind: List\nitems:\n- {json.dumps(yaml.safe_load(CLUSTER))}\n",
            "a RayCluster of KubeRay",
            "small: {min_workers: 0, max_workers: 10",
        ),
        ("apiVersion: ray.io/v1alpha1\nkind: RayCluster\nspec:\n", "a RayCluster of KubeRay", "available_node_types"),
        (
            "apiVersion: ray.io/v1\nkind: RayCluster\nspec: {workerGroupSpecs: [1, {}]}\n",
            "a RayCluster of KubeRay",
            "available_node_types",
        ),
    ],
)
def test_a_kuberay_manifest_is_named_and_its_groups_are_written_as_node_types(
    tmp_path: Path, text: str, kind: str, group: str
) -> None:
    message, hint = refusal(tmp_path, text)

    assert message == f": kind: {kind}; a cluster config of `ray up` is needed"
    assert group in hint
    assert "--launch-profile kuberay-warm" in hint


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (CONFIG_MAP, "kind: a Kubernetes ConfigMap"),
        ("image: {tag: 2.9.0}\nhead: {}\nworker: {replicas: 1}\n", "values for a Helm chart of KubeRay"),
        ("head: {}\nadditionalWorkerGroups: {small: {}}\n", "values for a Helm chart of KubeRay"),
        ("head: {enableInTreeAutoscaling: true}\n", "values for a Helm chart of KubeRay"),
        ("podTypes: {rayHeadType: {}}\n", "values for a Helm chart of KubeRay"),
        ("settings: {upscaling_speed: [1, 2]}\n", "a sweep spec"),
        ("services: {ray: {image: rayproject/ray}}\n", "a Docker Compose file"),
    ],
)
def test_other_files_are_called_by_their_name(tmp_path: Path, text: str, named: str) -> None:
    message, _ = refusal(tmp_path, text)

    assert named in message
    assert "not a cluster config of `ray up`" in message


def test_a_file_of_another_program_is_refused_with_the_page_that_says_what_is_needed(tmp_path: Path) -> None:
    message, hint = refusal(tmp_path, "cloud: my-cloud\nhead_node: {instance_type: m5.2xlarge}\n")

    assert "is a required property" in message
    assert "docs/cluster-files.md" in hint


def test_several_documents_are_no_cluster_config(tmp_path: Path) -> None:
    message, hint = refusal(tmp_path, "cluster_name: a\n---\ncluster_name: b\n")

    assert message == ": 2 YAML documents, separated by ---; one is expected"
    assert "own file" in hint


@pytest.mark.parametrize(
    "provider",
    [
        "{type: local, head_ip: 10.0.0.1, worker_ips: [10.0.0.2]}",
        "{type: local, coordinator_address: '10.0.0.9:80'}",
    ],
)
def test_a_cluster_of_fixed_machines_has_nothing_to_scale(tmp_path: Path, provider: str) -> None:
    message, hint = refusal(tmp_path, f"cluster_name: home\nhead_node: {{}}\nprovider: {provider}\n")

    assert message.startswith(": provider.type: local means fixed machines")
    assert "orchestrate observe --address" in hint

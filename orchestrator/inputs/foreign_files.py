"""Recognise files that aren't cluster configs of `ray up`, and say what to write instead."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import SpecError

_KUBERAY_SPECS = {"RayCluster": (), "RayJob": ("rayClusterSpec",), "RayService": ("rayClusterConfig",)}
_SEE = "see docs/cluster-files.md"


def refuse_foreign(path: Path, documents: Sequence[Any]) -> None:
    """Raise SpecError if these documents of one YAML file are of a kind that this program knows, but can't read.

    Of several documents the one that describes a Ray cluster counts.
    """
    mappings = [document for document in _listed(documents) if isinstance(document, Mapping)]
    for document in mappings:
        if (kind := document.get("kind")) in _KUBERAY_SPECS and "apiVersion" in document:
            raise SpecError(f"{path}: kind", *_kuberay(str(kind), document))
    for document in mappings:
        if "apiVersion" in document and "kind" in document:
            raise SpecError(f"{path}: kind", f"a Kubernetes {document['kind']}, not a cluster config of `ray up`", _SEE)
        if _of_helm(document):
            raise SpecError(
                str(path),
                "values for a Helm chart of KubeRay, not a cluster config of `ray up`",
                f"write each worker group as a node type under available_node_types; {_SEE}",
            )
        if {"settings", "workload"} & document.keys() and "available_node_types" not in document:
            raise SpecError(str(path), "a sweep spec, not a cluster config of `ray up`", f"name it with --spec {path}")
        if "services" in document and "cluster_name" not in document:
            raise SpecError(str(path), "a Docker Compose file, not a cluster config of `ray up`", _SEE)


def refuse_fixed_machines(path: Path, provider: Mapping[str, Any]) -> None:
    """Raise SpecError for a cluster of provider `local`: Ray's autoscaler launches no machine for it."""
    if provider.get("type") != "local":
        return
    raise SpecError(
        f"{path}: provider.type",
        "local means fixed machines at known addresses: Ray launches none, so there is nothing to scale",
        "watch that cluster with `orchestrate observe --address HOST:PORT`, or describe its machines as node types"
        f" under available_node_types and leave provider.type out; {_SEE}",
    )


def _of_helm(document: Mapping[str, Any]) -> bool:
    """Return true if these are values of the ray-cluster chart, all or some, or of Ray's older chart."""
    groups = {"head", "worker", "additionalWorkerGroups", "podTypes"} & document.keys()
    return "cluster_name" not in document and any(isinstance(document[group], Mapping) for group in groups)


def _listed(documents: Iterable[Any]) -> Iterable[Any]:
    """Return the documents, and those that a Kubernetes List among them holds before it."""
    for document in documents:
        items = document.get("items") if isinstance(document, Mapping) and document.get("kind") == "List" else None
        yield from items if isinstance(items, list) else ()
        yield document


def _kuberay(kind: str, document: Mapping[str, Any]) -> tuple[str, str]:
    """Return the problem with a KubeRay manifest, and its own groups as node types for the hint."""
    spec: Any = document.get("spec") or {}
    for key in _KUBERAY_SPECS[kind]:
        spec = spec.get(key) or {} if isinstance(spec, Mapping) else {}
    groups = spec.get("workerGroupSpecs") if isinstance(spec, Mapping) else None
    types = ", ".join(_as_node_types(groups)) or "small: {min_workers: 0, max_workers: 10, …}"
    return (
        f"a {kind} of KubeRay; a cluster config of `ray up` is needed",
        f"write its groups as available_node_types: {{{types}}}, a head_node_type, and add"
        f" --launch-profile kuberay-warm; {_SEE}",
    )


def _as_node_types(groups: Any) -> Iterable[str]:
    for group in groups if isinstance(groups, list) else []:
        if isinstance(group, Mapping):
            limits = f"min_workers: {group.get('minReplicas', 0)}, max_workers: {group.get('maxReplicas', '…')}"
            yield f"{group.get('groupName', '…')}: {{{limits}, resources: {{CPU: …}}, node_config: {{}}}}"

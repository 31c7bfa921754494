"""Prepare cluster files by Ray's own launcher code and by ours, to compare what decides.

`python -m tests.support.cluster_shapes` prints both side by side, for the files of `tests/data/cluster_files`.
"""

import contextlib
import copy
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, patch

import yaml

from orchestrator.inputs.cluster_config import ClusterFile, read_cluster_file
from orchestrator.inputs.instance_types import ec2_instance_types
from orchestrator.model.cluster import NodeType

FILES = Path(__file__).parents[1] / "data" / "cluster_files"
TAKEN = sorted([*(FILES / "ray").glob("*.yaml"), *(FILES / "public").glob("*.yaml")])
REFUSED = sorted((FILES / "refused").glob("*.yaml"))
# Ray's wheel lacks the defaults of these providers, so that only a source tree of Ray can prepare their files.
NOT_IN_THE_WHEEL = ("aliyun", "fake_multinode")

SDKS = ("boto3", "botocore", "google", "googleapiclient", "google_auth_httplib2", "httplib2", "cryptography")

Types = dict[str, tuple[int, int, dict[str, float]]]


@dataclass(frozen=True)
class Shape:
    """What an autoscaler decides by: the head's type, limits and resources of each type, total, speed, idle timeout."""

    head: str
    types: Types
    total: int
    upscaling_speed: float | None
    idle_timeout_minutes: float | None

    def __str__(self) -> str:
        """Return it in one line."""
        types = "; ".join(
            f"{name} {least}-{most} {{{', '.join(f'{key}: {value:g}' for key, value in resources.items())}}}"
            for name, (least, most, resources) in self.types.items()
        )
        return (
            f"{types}; head {self.head}; total {self.total}; speed {self.upscaling_speed};"
            f" idle {self.idle_timeout_minutes} min"
        )


class _Pretending:
    """Imports a cloud's SDK that isn't installed as a module that does nothing."""

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in SDKS else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> Any:
        return MagicMock(name=spec.name, __path__=[], __spec__=spec, __version__="1.40.0")

    def exec_module(self, module: Any) -> None:
        pass


@contextlib.contextmanager
def without_clouds() -> Iterator[None]:
    """Let Ray's providers be imported; what was imported so is forgotten afterwards."""
    before = set(sys.modules)
    with patch.object(sys, "meta_path", [*sys.meta_path, _Pretending()]):
        yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in SDKS or name.startswith(
            ("ray.autoscaler._private.aws", "ray.autoscaler._private.gcp")
        ):
            del sys.modules[name]


def provider_of(path: Path) -> str:
    """Return the provider that a cluster file names."""
    return str(yaml.safe_load(path.read_text())["provider"]["type"])


def prepared_by_ray(path: Path) -> dict[str, Any]:
    """Return the config as `ray up` has it before it looks at the cloud; only EC2's list of instance types is ours."""
    from ray.autoscaler._private.providers import _NODE_PROVIDERS
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load(path.read_text())
    with contextlib.redirect_stdout(io.StringIO()):
        config = prepare_config(config)
        kind = config["provider"]["type"]
        if kind == "aws":
            from ray.autoscaler._private.aws import node_provider

            ec2 = copy.deepcopy(list(ec2_instance_types().values()))
            with patch.object(node_provider, "list_ec2_instances", lambda region, credentials: ec2):
                config = node_provider.AWSNodeProvider.fillout_available_node_types_resources(config)
        elif kind == "gcp":
            config = _NODE_PROVIDERS[kind](config["provider"]).fillout_available_node_types_resources(config)
        validate_config(config)
    return dict(config)


def shape_by_ray(path: Path) -> Shape:
    """Return the shape that Ray's own preparation gives a file."""
    ray = prepared_by_ray(path)
    types = {
        name: (section["min_workers"], section["max_workers"], section["resources"])
        for name, section in ray["available_node_types"].items()
    }
    return Shape(ray["head_node_type"], types, ray["max_workers"], ray["upscaling_speed"], ray["idle_timeout_minutes"])


def shape_of(cluster: ClusterFile) -> Shape:
    """Return the shape that we read."""

    def limits(node_type: NodeType) -> tuple[int, int, dict[str, float]]:
        return node_type.min_workers, node_type.max_workers, dict(node_type.resources)

    shape = cluster.shape
    types = {each.name: limits(each) for each in (shape.head, *shape.workers)}
    return Shape(shape.head.name, types, shape.max_workers, cluster.upscaling_speed, cluster.idle_timeout_minutes)


def main() -> None:
    """Print a row for each file: its provider, the shape that we read, and whether Ray's own is the same."""
    print("| file | provider | shape as we read it | Ray's own preparation |\n|---|---|---|---|")
    with without_clouds():
        for path in TAKEN:
            ours, provider = shape_of(read_cluster_file(path)), provider_of(path)
            if provider in NOT_IN_THE_WHEEL:
                verdict = "not in Ray's wheel; as in Ray's source"
            else:
                theirs = shape_by_ray(path)
                verdict = "the same" if ours == theirs else f"DIFFERS: {theirs}"
            print(f"| {path.parent.name}/{path.stem} | {provider} | {ours} | {verdict} |")


if __name__ == "__main__":
    import ray  # noqa: F401 - so that files are prepared in this process

    main()

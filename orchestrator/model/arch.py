"""CPU architectures: one spelling inside the program, with the common spellings mapped to it."""

import re
from collections.abc import Mapping
from typing import Literal

Arch = Literal["x86_64", "arm64", "unknown"]

_SPELLINGS: dict[str, Arch] = {
    "x86_64": "x86_64",
    "x86-64": "x86_64",
    "x86": "x86_64",
    "amd64": "x86_64",
    "intel": "x86_64",
    "arm64": "arm64",
    "aarch64": "arm64",
    "arm": "arm64",
    "graviton": "arm64",
}
_ARCH_LABELS = ("arch", "architecture", "kubernetes.io/arch", "ray.io/arch")
# EC2: family letters, generation digit, attributes (`g` = Graviton), a dot, the size. a1 is the first Graviton.
_EC2_INSTANCE = re.compile(r"^([a-z]+(?:-[a-z0-9]+)?)(\d+)([a-z-]*\w*)\.\w[\w-]*$")


# Google: Axion and Ampere series. Azure: a `p` among the letters after the size, as in Standard_D8ps_v5.
_GCP_ARM = re.compile(r"^(t2a|c4a|n4a)-")
_GCP_X86 = re.compile(r"^(a2|a3|c2d?|c3d?|c4d?|e2|f1|g1|g2|h3|m1|m2|m3|n1|n2d?|n4|t2d|z3)-")
_AZURE = re.compile(r"^Standard_[A-Z]+\d+(?:-\d+)?([a-z]*)(?:_|$)")


def normalise_arch(spelling: str) -> Arch:
    """Return `x86_64` for `amd64` and `x86-64`, `arm64` for `aarch64` and `Graviton`, else `unknown`."""
    return _SPELLINGS.get(spelling.strip().lower(), "unknown")


def arch_of_instance_type(instance_type: str) -> Arch:
    """Return the architecture by the cloud's naming rule: `m8g.2xlarge` is Graviton, `t2a-standard-4` Arm."""
    if instance_type.startswith("mac"):
        return "x86_64" if instance_type.startswith("mac1.") else "arm64"
    if _GCP_ARM.match(instance_type):
        return "arm64"
    if _GCP_X86.match(instance_type):
        return "x86_64"
    if azure := _AZURE.match(instance_type):
        return "arm64" if "p" in azure[1] else "x86_64"
    match = _EC2_INSTANCE.match(instance_type)
    if not match:
        return "unknown"
    family, generation, attributes = match.groups()
    if "g" in attributes or (family == "a" and generation == "1"):
        return "arm64"
    return "x86_64"


def infer_arch(
    *,
    name: str = "",
    instance_type: str = "",
    labels: Mapping[str, str] | None = None,
    resources: Mapping[str, float] | None = None,
) -> Arch:
    """Return the architecture of a node type from the strongest available evidence, else `unknown`.

    The order is: an `arch` label, the instance type, a custom resource such as `Intel` or `Graviton`, and the words in
    the name of the node type.
    """
    labelled = (normalise_arch(labels[key]) for key in _ARCH_LABELS if labels and key in labels)
    by_resource = (normalise_arch(resource) for resource in resources or {})
    by_name = (normalise_arch(word) for word in re.split(r"[-_.\s]", name.replace("x86_64", "x86")))
    evidence: list[Arch] = [*labelled, arch_of_instance_type(instance_type), *by_resource, *by_name]
    return next((arch for arch in evidence if arch != "unknown"), "unknown")

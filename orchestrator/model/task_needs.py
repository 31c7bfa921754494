"""The needs of a task, an actor or a bundle: resources and label selectors, and what Ray refuses among them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


def check_resources(resources: Mapping[str, float]) -> None:
    """Raise ValueError for resources that Ray refuses, or that can't be modelled. CPUs aren't among them."""
    if "CPU" in resources:
        raise ValueError("resources are those other than CPUs, such as GPU; CPUs are `cpus`, or --task-cpus")
    if "object_store_memory" in resources:
        raise ValueError(
            "object_store_memory can't be modelled: Ray gives it to objects and not to tasks, so leave it out"
        )
    if (gpus := resources.get("GPU", 0.0)) > 1 and gpus != int(gpus):
        raise ValueError(f"Ray takes whole numbers of GPUs above 1, and {gpus:g} isn't one; a task may share one GPU")
    if (memory := resources.get("memory", 1.0)) != int(memory):
        raise ValueError(f"memory is in whole bytes, such as 2e9, and {memory:g} isn't one")


@dataclass(frozen=True)
class Needs:
    """Resources in Ray's names, CPUs among them, and label selectors, by label."""

    resources: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def limiting(self) -> dict[str, float]:
        """The resources of which more than nothing is needed."""
        return {name: amount for name, amount in self.resources.items() if amount > 0}

    @property
    def shape(self) -> str:
        """The resource shape as Ray and a trace name it, such as `CPU=1,GPU=0.5`."""
        return shape_of(self.limiting)

    @property
    def key(self) -> tuple[frozenset[tuple[str, float]], frozenset[tuple[str, str]]]:
        """A value that is equal for equal needs."""
        return frozenset(self.limiting.items()), frozenset(self.labels.items())

    def describe(self) -> str:
        """Return the needs for people: `2 CPU, 1 GPU with market=spot`."""
        needs = ", ".join(f"{amount:g} {name}" for name, amount in self.resources.items())
        labels = ", ".join(f"{key}={value}" for key, value in self.labels.items())
        return " with ".join(filter(None, (needs, labels)))


def shape_of(resources: Mapping[str, float]) -> str:
    """Return resources as a shape, such as `CPU=1` or `CPU=1,Graviton=0.5`."""
    return ",".join(f"{name}={amount:g}" for name, amount in sorted(resources.items()))


def distinct(needs: Iterable[Needs]) -> tuple[Needs, ...]:
    """Return different needs once each, in the order of the first."""
    return tuple({each.key: each for each in reversed(list(needs))}.values())[::-1]

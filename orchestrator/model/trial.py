"""One workload under one setting, for one repeat. Its id is a hash of all inputs."""

from typing import Annotated, Any

from pydantic import Field, computed_field, model_validator

from orchestrator.model.base import FrozenModel, content_hash
from orchestrator.model.cluster import ClusterShape
from orchestrator.model.job import PATHS
from orchestrator.model.settings import RAYS_IDLE_TIMEOUT_MINUTES, Settings
from orchestrator.model.workload import Workload


class Trial(FrozenModel):
    """The input of a backend, which turns it into a trace. `seed` fixes its random parts: arrivals and boot times."""

    backend: str
    settings: Settings
    shape: ClusterShape
    workload: Workload
    repeat: Annotated[int, Field(ge=1)] = 1
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _id_is_computed(cls, value: Any) -> Any:
        """Drop the stored id of a trial, because it is recomputed."""
        return {k: v for k, v in value.items() if k != "trial_id"} if isinstance(value, dict) else value

    @computed_field  # type: ignore[prop-decorator]
    @property
    def trial_id(self) -> str:
        """Return twelve hex digits. The same trial has the same id on every machine and in every sweep."""
        described = self.model_dump(mode="json", exclude={"trial_id"})
        for path in PATHS:
            described["workload"].get("job", {}).pop(path, None)
        return content_hash(described)

    @property
    def longest_idle_s(self) -> float:
        """Seconds that a node may be idle before the autoscaler ends it, of the type with the longest idle timeout."""
        minutes = self.settings.idle_timeout_minutes
        if self.settings.autoscaler == "v1":  # it needs one, and doesn't read a type's own
            return 60 * (RAYS_IDLE_TIMEOUT_MINUTES if minutes is None else minutes)
        everywhere = 60 * (minutes or 0.0)
        own = (worker.idle_timeout_s for worker in self.shape.launchable)
        return max(everywhere if seconds is None else seconds for seconds in own)

    def label(self) -> str:
        """Return the settings, and the number of the repeat if there are several."""
        return self.settings.label() + (f" #{self.repeat}" if self.repeat > 1 else "")

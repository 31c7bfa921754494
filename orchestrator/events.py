"""The events of a trace."""

from orchestrator.model.events import (
    DemandEvent,
    Event,
    FaultEvent,
    HostEvent,
    NodeEvent,
    NodeState,
    NoteEvent,
    OtherEvent,
    Phase,
    PhaseEvent,
    SettingsEvent,
    StageEvent,
    TaskEvent,
    UsageEvent,
    parse_event,
)

__all__ = [
    "DemandEvent",
    "Event",
    "FaultEvent",
    "HostEvent",
    "NodeEvent",
    "NodeState",
    "NoteEvent",
    "OtherEvent",
    "Phase",
    "PhaseEvent",
    "SettingsEvent",
    "StageEvent",
    "TaskEvent",
    "UsageEvent",
    "parse_event",
]

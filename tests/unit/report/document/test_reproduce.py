"""The command that repeats a sweep: read again, it gives the same spec."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from orchestrator.backends import registry
from orchestrator.cli.app import app
from orchestrator.cli.commands import sweep as sweep_module
from orchestrator.inputs.sweep_spec import read_spec
from orchestrator.lab.overrides import SpecOverrides, spec_document
from orchestrator.model.spec import SweepSpec
from orchestrator.report.document.reproduce import Repeat, repeat
from tests.support.builders import sweep_record, trial, trial_record


def repeated(document: dict[str, Any], cluster: Path | None = None) -> Repeat:
    spec = SweepSpec.model_validate(document)
    found = repeat(sweep_record(trial_record(trial()), spec=spec.model_dump(mode="json")), cluster)
    assert found is not None
    return found


def read_again(command: str, monkeypatch: pytest.MonkeyPatch) -> SweepSpec:
    """The spec that `orchestrate sweep` makes of its options."""
    seen: dict[str, Any] = {}

    def plan(_home: object, spec_file: Path | None, overrides: SpecOverrides, *_more: object) -> None:
        seen["spec"] = read_spec(spec_file, spec_document(overrides), registry.names())
        raise SystemExit(0)

    monkeypatch.setattr(sweep_module, "plan_sweep", plan)
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert "spec" in seen, result.output
    spec = seen["spec"]
    assert isinstance(spec, SweepSpec)
    return spec


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"settings": {"upscaling_speed": [1, 5, 10]}},
        {"settings": {"autoscaler": ["v1", "v2"], "upscaling_speed": [0.1, 1e6], "idle_timeout_minutes": 0.25}},
        {"settings": {"autoscaler": "v1", "target_utilization_fraction": [0.5, 0.8]}},
        {"settings": {"max_concurrent_launches": [1, 10], "max_workers": 3}, "backend": "simulated"},
        {"name": "it's a night run; $(x)", "repeat": 5, "order": "random", "seed": -3, "isolation": "fresh"},
        {"workload": {"tasks": 7, "seconds": 2.5, "cpus": 0.5, "kind": "burn", "resources": {"Graviton": 0.1}}},
        {"workload": {"arrival": "waves", "arrival_s": 30, "waves": 4}, "timeout_s": 900, "fit": "none"},
        {"workload": {"faults": ["kill@20", "pause@0.1+15:a b", "spot@2.5/h"]}, "backend": "simulated"},
        {"workload": {"job": {"entrypoint": "python train.py --name 'a b'", "working_dir": "/my files"}}},
        {"cluster": "my clusters/a.yaml", "prices": "eu-west-1:spot"},
    ],
)
def test_the_command_says_the_spec(document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    found = repeated(document)

    assert found.spec == ""
    assert read_again(found.command, monkeypatch) == SweepSpec.model_validate(document)


def test_what_is_default_is_left_out() -> None:
    assert repeated({"settings": {"upscaling_speed": [1, 5]}}).command == "orchestrate sweep --upscaling-speed 1,5"


def test_what_options_can_not_say_is_a_spec_file() -> None:
    document = {"workload": {"labels": {"zone": "a"}}, "settings": {"upscaling_speed": [1, 5]}, "name": "ü: x"}
    found = repeated(document)

    assert found.command == "orchestrate sweep --spec sweep.yaml"
    assert SweepSpec.model_validate(yaml.safe_load(found.spec)) == SweepSpec.model_validate(document)


def test_what_else_has_to_agree_is_told() -> None:
    notes = " ".join(repeated({"cluster": "c.yaml"}).notes)

    assert "ray 2.60.0" in notes
    assert "c.yaml" in notes
    assert "machine of the same size" in notes
    assert trial().trial_id in notes


def test_measured_latencies_are_told(tmp_path: Path) -> None:
    own, other = tmp_path / "own.yaml", tmp_path / "other.yaml"
    own.write_text("provider: {type: x}\n")
    other.write_text("provider: {type: x, launch: {boot: {distribution: constant, mean_s: 2.5}}}\n")

    assert "--boot-from" not in " ".join(repeated({}, own).notes)
    assert "--boot-from" in " ".join(repeated({}, other).notes)


def test_a_record_without_a_spec_can_not_say_how() -> None:
    assert repeat(sweep_record(trial_record(trial()))) is None

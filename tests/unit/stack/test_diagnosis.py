"""Why a service ended: what it said last, and where it was denied something, whose that is."""

from pathlib import Path

import pytest
import yaml

from orchestrator.assets import bundled
from orchestrator.errors import OrchestrateError
from orchestrator.stack.diagnosis import ended

# Of Prometheus 3; the panic's stack is longer in truth.
NO_DATA = """\
level=ERROR component=activeQueryTracker msg="Failed to create directory for logging active queries"
level=ERROR msg="Error opening query log file" err="open /prometheus/queries.active: permission denied"
panic: Unable to create mmap-ed active query log
goroutine 1 [running]:
github.com/prometheus/prometheus/promql.NewActiveQueryTracker({0x7ffe, 0xb}, 0x14)
"""
NO_FILE = 'level=ERROR msg="Error loading config" err="open /etc/prometheus/prometheus.yml: permission denied"\n'
NO_DATABASE = """\
GF_PATHS_DATA='/var/lib/grafana' is not writable.
You may have issues with file permissions, more information here: http://docs.grafana.org/installation/docker/
mkdir: can't create directory '/var/lib/grafana/plugins': Permission denied
"""


def told(name: str, log: str) -> OrchestrateError:
    compose = yaml.safe_load(bundled("docker-compose.yml").read_text())
    return ended(name, log, compose, root=Path("/lab"), project="orchestrate")


@pytest.mark.parametrize(
    ("name", "log", "said", "hint"),
    [
        (
            *("prometheus", NO_DATA, "/prometheus/queries.active: permission denied"),
            "--volume orchestrate_prometheus-data:/prometheus --entrypoint chown prom/prometheus:",
        ),
        ("grafana", NO_DATABASE, "Permission denied", "-R 472:0 /var/lib/grafana"),
        ("prometheus", NO_FILE, "prometheus.yml: permission denied", "chmod -R go+rX /lab/prometheus /lab/grafana"),
    ],
)
def test_what_was_denied_is_named_with_the_way_to_get_it(name: str, log: str, said: str, hint: str) -> None:
    error = told(name, log)

    assert error.message.startswith(f"{name} ended at once: ")
    assert said in error.message
    assert hint in (error.hint or "")


def test_any_other_end_is_told_with_its_last_words() -> None:
    error = told("prometheus", 'level=info msg=a\nlevel=error err="no space left on device"\nlevel=info msg=b\n')

    assert (error.message, error.hint) == (
        'prometheus ended at once: level=error err="no space left on device"',
        None,
    )

"""The part of a Prometheus configuration that scrapes `orchestrate` and what Ray itself exports."""

import socket
from typing import Any

from orchestrator.lab.metrics import Access

_ANYWHERE = ("0.0.0.0", "::")
_FROM_A_CONTAINER = "host.docker.internal"
_TOKEN_FILE = "/etc/prometheus/orchestrate.token"


def scrape_config(port: int | None, to: Access) -> str:
    """Return `scrape_configs` as YAML, for a Prometheus on another machine unless `to` is loopback."""
    import yaml

    from orchestrator.assets import bundled
    from orchestrator.metrics.server import DEFAULT_PORT

    host = socket.getfqdn() if to.host in _ANYWHERE else to.host
    address = f"{f'[{host}]' if ':' in host else host}:{DEFAULT_PORT if port is None else port}"
    jobs = yaml.safe_load(bundled("prometheus/prometheus.yml").read_text())["scrape_configs"]
    # Prometheus' own job is that of the stack's.
    found = {job["job_name"]: job for job in jobs if job["job_name"] != "prometheus"}
    ours, ray = found["orchestrator"], found["ray"]
    authorization = {"authorization": {"credentials_file": _TOKEN_FILE}} if to.token else {}
    every = {"scrape_interval": "5s"}
    ours = {"job_name": "orchestrator", **every, **authorization, "static_configs": [{"targets": [address]}]}
    discovery = {**ray["http_sd_configs"][0], "url": f"http://{address}/sd", **authorization}
    relabelled = [rule for rule in ray["relabel_configs"] if _FROM_A_CONTAINER not in str(rule)]
    ray = {**ray, **every, "http_sd_configs": [discovery], "relabel_configs": relabelled}
    head = (
        "# Add the two jobs to scrape_configs of prometheus.yml, and load the rules of `orchestrate`, which record\n"
        "# what the dashboards show: rule_files: [rules/*.yml]. docs/observe.md says where they are.\n"
    )
    if to.token:
        head += f"# Write the token into {_TOKEN_FILE} on the machine of Prometheus.\n"

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    return head + yaml.dump({"scrape_configs": [ours, ray]}, sort_keys=False, Dumper=Dumper)

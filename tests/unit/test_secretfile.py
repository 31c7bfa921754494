"""Secrets of the user's: what a process that we start sees of them."""

from orchestrator.grafana.access import TOKEN_VARIABLE
from orchestrator.observer.prometheus import CREDENTIALS_VARIABLE
from orchestrator.secretfile import inherited


def test_a_process_that_we_start_inherits_all_but_our_variables() -> None:
    ours = {TOKEN_VARIABLE: "glsa_x", CREDENTIALS_VARIABLE: "lab:secret", "ORCHESTRATE_LEDGER": "postgresql://u:p@h/d"}
    others = {"PATH": "/bin", "HTTPS_PROXY": "http://proxy:3128", "RAY_LOG_LEVEL": "debug"}

    assert inherited({**ours, **others}) == others

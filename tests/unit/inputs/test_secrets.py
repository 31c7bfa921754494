"""Secrets of the user's: what a process that we start sees of them."""

from orchestrator.grafana.client import TOKEN_VARIABLE
from orchestrator.inputs.secrets import inherited
from orchestrator.prometheus.client import CREDENTIALS_VARIABLE


def test_a_process_that_we_start_inherits_all_but_our_variables() -> None:
    ours = {TOKEN_VARIABLE: "glsa_x", CREDENTIALS_VARIABLE: "lab:secret", "ORCHESTRATE_LEDGER": "postgresql://u:p@h/d"}
    others = {"PATH": "/bin", "HTTPS_PROXY": "http://proxy:3128", "RAY_LOG_LEVEL": "debug"}

    started_with = inherited({**ours, **others})

    assert others.items() <= started_with.items()
    assert not ours.keys() & started_with.keys()


def test_a_process_that_we_start_has_no_credentials_of_a_cloud() -> None:
    clouds = {
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SECRET_ACCESS_KEY": "planted",
        "AWS_PROFILE": "prod",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:5000",
        "GOOGLE_APPLICATION_CREDENTIALS": "/home/me/key.json",
        "AZURE_CLIENT_SECRET": "planted",
        "KUBECONFIG": "/home/me/.kube/config",
    }
    started_with = inherited(clouds)

    assert not set(clouds.values()) & set(started_with.values())


def test_sdks_of_clouds_find_no_credentials_in_files_or_on_metadata_servers() -> None:
    started_with = inherited({"HOME": "/home/me"})

    assert (started_with["AWS_SHARED_CREDENTIALS_FILE"], started_with["AWS_EC2_METADATA_DISABLED"]) == (
        "/dev/null",
        "true",
    )
    assert (started_with["CLOUDSDK_CONFIG"], started_with["KUBECONFIG"]) == ("/dev/null", "/dev/null")

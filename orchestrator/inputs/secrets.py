"""Secrets that a user hands over: in a file, or in a variable of the environment. None is ever quoted or passed on."""

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from orchestrator.errors import InputError
from orchestrator.logs import hide


def take_secret(
    variable: str,
    option: str,
    file: Path | None,
    hint: str,
    environment: MutableMapping[str, str] | None = None,
) -> tuple[str, str]:
    """Return the stripped content of the file of `option`, else of the `variable`, and the name of its source.

    It is taken out of the environment. Raises InputError for a file that can't be read or is empty; a variable may be.
    """
    environment = os.environ if environment is None else environment
    found = environment.pop(variable, "")
    if file is None:
        hide(found.strip())
        return found.strip(), variable
    source = f"{option} {file}"
    try:
        found = file.read_text().strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a text file"
        raise InputError(f"{source} can't be read: {why}") from None
    if not found:
        raise InputError(f"{source} is empty", hint)
    hide(found)
    return found, source


# Variables by which SDKs of clouds find credentials, accounts and endpoints.
_CLOUD_PREFIXES = (
    "AWS_",
    "AZURE_",
    "ARM_",
    "GOOGLE_",
    "GCLOUD_",
    "GCP_",
    "CLOUDSDK_",
    "BOTO_",
    "KUBECONFIG",
    "OCI_",
    "ALIBABA_",
)

# Credentials of clouds also lie in files under HOME and on metadata servers, where an SDK looks without being asked.
_NO_CLOUD = {
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
    "BOTO_CONFIG": "/dev/null",
    "CLOUDSDK_CONFIG": "/dev/null",
    "GOOGLE_APPLICATION_CREDENTIALS": "/dev/null",
    "NO_GCE_CHECK": "true",
    "AZURE_CONFIG_DIR": "/dev/null",
    "KUBECONFIG": "/dev/null",
}


def inherited(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a process that we start: without our own variables, and without any cloud's.

    Ours may be secrets, such as a token or the URL of a ledger, and Ray runs anybody's code. With a cloud's credentials
    that code, or a node provider, could start machines that nobody asked for.
    """
    environment = os.environ if environment is None else environment
    kept = {
        name: value for name, value in environment.items() if not name.startswith(("ORCHESTRATE_", *_CLOUD_PREFIXES))
    }
    return {**kept, **_NO_CLOUD}

"""The answers of Grafana's API, with the fields that this package reads. Others are ignored; these may be missing."""

from typing import Any

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

_MORE_FIELDS = ConfigDict(extra="allow")

# A write answers with an object that we don't read, or with nothing.
Written = dict[str, Any] | None


@with_config(_MORE_FIELDS)
class Health(TypedDict, total=False):
    """The answer of GET /health."""

    version: str | None
    database: str | None


@with_config(_MORE_FIELDS)
class Folder(TypedDict, total=False):
    """The answer of GET /folders/UID."""

    title: str | None


@with_config(_MORE_FIELDS)
class DataSource(TypedDict, total=False):
    """The answer of GET /datasources/uid/UID."""

    type: str | None
    url: str | None
    readOnly: bool | None


@with_config(_MORE_FIELDS)
class DataSourceHealth(TypedDict, total=False):
    """The answer of GET /datasources/uid/UID/health."""

    status: str | None
    message: str | None


@with_config(_MORE_FIELDS)
class Meta(TypedDict, total=False):
    """The metadata of a dashboard."""

    provisioned: bool | None
    provisionedExternalId: str | None
    folderUid: str | None


@with_config(_MORE_FIELDS)
class _Stored(TypedDict):
    dashboard: dict[str, Any]


@with_config(_MORE_FIELDS)
class StoredDashboard(_Stored, total=False):
    """The answer of GET /dashboards/uid/UID."""

    meta: Meta


@with_config(_MORE_FIELDS)
class Version(TypedDict, total=False):
    """One version of a dashboard."""

    message: str | None
    createdBy: str | None


@with_config(_MORE_FIELDS)
class Versions(TypedDict, total=False):
    """The answer of GET /dashboards/uid/UID/versions. Older Grafanas answer with the list alone."""

    versions: list[Version]


@with_config(_MORE_FIELDS)
class AlertRule(TypedDict, total=False):
    """The answer of GET /v1/provisioning/alert-rules/UID."""

    provenance: str | None


@with_config(_MORE_FIELDS)
class RuleGroup(TypedDict, total=False):
    """The answer of GET /v1/provisioning/folder/UID/rule-groups/NAME."""

    interval: int | None


class NewAnnotation(TypedDict):
    """The answer of POST /annotations."""

    id: int


# GET /access-control/user/permissions: each action with the scopes in which it is allowed.
Permissions = dict[str, list[str] | None]

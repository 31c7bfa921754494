"""The variables of the boards: which Prometheus, which sweep, trial and architecture is looked at.

The newest sweep and trial stand first, since Grafana begins with the first option. No variable takes a typed value: it
would keep the one that it has when another sweep is chosen.
"""

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import DataSourceRef

from orchestrator.grafana.push import DATASOURCE_NAME, DATASOURCE_UID

DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

Variable = Builder[model.VariableModel]

_SHOWN = "[$__range]"
# From 1980 to 2070: on the board of elapsed time, Grafana asks in the year 2000.
_EVER = "[90y] offset -70y"
_JOINED = "on (sweep_id, trial_id)"
# These take text and value of an option from what Grafana makes of a sample: {called="v2 #1",trial_id="…"} 1764000000 …
_TRIAL = '/called="(?<text>[^"]+)",trial_id="(?<value>[^"]+)"/'
_SWEEP = '/sweep_id="([^"]+)"/'
_MATCHERS = '/called="(?<text>[^"]+)",(?<value>sweep_id="[^"]+",trial_id="[^"]+")/'
_SECONDS = r"/\} (\d+)/"


class _OfAnother(build.QueryVariable):
    """A variable that follows from others: no address carries it, or an old one would bring an old value back."""

    def build(self) -> model.VariableModel:
        variable = super().build()
        variable.skip_url_sync = True
        return variable


def datasource_variable() -> Variable:
    """Which Prometheus the whole board asks: at first the one that was brought along with it."""
    return (
        build.DatasourceVariable("datasource")
        .label("Prometheus")
        .description("Where the metrics of the trials are.")
        .type("prometheus")
        .current(model.VariableOption(text=DATASOURCE_NAME, value=DATASOURCE_UID))
    )


def sweep_variable(*, all_of_them: bool = False) -> Variable:
    """`$sweep_id`: the sweeps that had a trial in the time range, the newest first."""
    variable = _query("sweep_id", "Sweep", f"sort_desc(max by (sweep_id) ({_newest('')}))", _SWEEP)
    return _with_all(variable) if all_of_them else variable


def trial_variable(*, all_of_them: bool = False) -> Variable:
    """`$trial_id`: the trials of `$sweep_id`, called by setting and repeat, the newest first."""
    matcher = 'sweep_id=~"$sweep_id"' if all_of_them else 'sweep_id="$sweep_id"'
    info = _called(_info(matcher, _SHOWN))
    ordered = f"{info} * {_JOINED} group_left () max by (sweep_id, trial_id) ({_newest(matcher)})"
    variable = _query("trial_id", "Trial", f"sort_desc(max by (called, trial_id) ({ordered}))", _TRIAL)
    return _with_all(variable) if all_of_them else variable


def arch_variable() -> Variable:
    """`$arch`: the architectures of the trial's nodes, all of them unless some are chosen."""
    query = 'label_values(orchestrator_nodes{sweep_id="$sweep_id", trial_id="$trial_id"}, arch)'
    return _with_all(_variable("arch", "Architecture", query).sort(model.VariableSort.ALPHABETICAL_ASC).multi(True))


def choice(name: str, label: str, description: str, options: Sequence[tuple[str, str]]) -> Variable:
    """A variable with fixed options, each text and value; the first is chosen."""
    listed = [
        model.VariableOption(selected=number == 0, text=text, value=value)
        for number, (text, value) in enumerate(options)
    ]
    return (
        build.CustomVariable(name)
        .label(label)
        .description(description)
        .values(", ".join(f"{text} : {value}" for text, value in options))
        .options(listed)
        .current(listed[0])
    )


# Of the board of elapsed time


def sweeps_ever() -> Variable:
    """`$sweep_id`: one or more of all sweeps that Prometheus has, whenever they were; the newest first."""
    variable = _query("sweep_id", "Sweeps", f"sort_desc(max by (sweep_id) ({_started('', _EVER)}))", _SWEEP)
    return variable.multi(True).description("Whose trials can be chosen; may be several.")


def compared_trial(name: str, label: str, *, besides: Sequence[str], optional: bool) -> Variable:
    """A trial of `$sweep_id`, the newest first, without those of the variables `besides`.

    Its value are the matchers of its series, its text is how it is called. There is always "none", lest a selector
    become empty: as the first option, where the trial is `optional`, else as the last.
    """
    scope = 'sweep_id=~"$sweep_id"'
    started = f"max by (sweep_id, trial_id) ({_started(scope, _EVER)})"
    trials = f"{_called(_info(scope, _EVER), 'sweep_id')} * {_JOINED} group_left () {started}"
    for other in besides:
        trials += f" unless {_JOINED} {_info(_matchers_of(other), _EVER)}"
    none = f"vector({'Inf' if optional else 0})"
    for each in ("called", "sweep_id", "trial_id"):
        none = f'label_replace({none}, "{each}", "none", "", "")'
    ordered = f"sort_desc(max by (called, sweep_id, trial_id) ({trials} or {none}))"
    return _query(name, label, ordered, _MATCHERS)


def choosing(name: str, sweep_id: str, trial_id: str) -> str:
    """The part of an address that chooses a trial in the variable NAME; the ids may be Grafana's expressions."""
    return f"var-sweep_id={sweep_id}&var-{name}=sweep_id%3D%22{sweep_id}%22%2Ctrial_id%3D%22{trial_id}%22"


def start_of(name: str, zero_s: int) -> Variable:
    """`$NAME_start`, hidden: whole seconds from `zero_s` to when the trial of the variable NAME was submitted."""
    started = f"round(max({_started(_matchers_of(name), _EVER)}) - {zero_s})"
    variable = _query(f"{name}_start", "", f"{started} or vector(1)", _SECONDS, _OfAnother)
    return variable.hide(model.VariableHide.HIDE_VARIABLE)


# What they share


def _matchers_of(variable: str) -> str:
    return f"${{{variable}:raw}}"


def _info(matchers: str, window: str) -> str:
    return f"last_over_time(orchestrator_trial_info{{{matchers}}}{window})"


def _started(matchers: str, window: str) -> str:
    return f"last_over_time(orchestrator_trial_start_timestamp_seconds{{{matchers}}}{window})"


def _newest(matchers: str) -> str:
    """Now for a trial that lives, else when it was submitted, 0 if it never was: what has failed before comes last."""
    lives = f"timestamp(orchestrator_trial_info{{{matchers}}})"
    return f"{lives} or {_started(matchers, _SHOWN)} or 0 * {_info(matchers, _SHOWN)}"


def _called(info: str, also: str = "") -> str:
    """With the label `called`: setting and repeat, in its sweep if that is told too."""
    called = f'label_join({info}, "called", " #", "setting", "repeat")'
    return f'label_join({called}, "called", " in ", "called", "{also}")' if also else called


def _query(
    name: str, label: str, expr: str, regex: str, kind: type[build.QueryVariable] = build.QueryVariable
) -> build.QueryVariable:
    """Options in the order of the answer to `expr`; `regex` takes text and value from each of its samples."""
    return _variable(name, label, f"query_result({expr})", kind).regex(regex).sort(model.VariableSort.DISABLED)


def _variable(
    name: str, label: str, query: str, kind: type[build.QueryVariable] = build.QueryVariable
) -> build.QueryVariable:
    return (
        kind(name)
        .label(label)
        .datasource(DATASOURCE)
        .definition(query)
        .query({"query": query, "refId": name, "qryType": 5})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .allow_custom_value(False)
    )


def _with_all(variable: build.QueryVariable) -> build.QueryVariable:
    all_of_them = model.VariableOption(text="All", value="$__all")
    return variable.include_all(True).all_value(".*").current(all_of_them)

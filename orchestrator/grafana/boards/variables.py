"""The variables of the boards: Prometheus, sweep, trial and architecture.

The newest sweep and trial come first, because Grafana selects the first option. No variable takes a typed value: it
would keep the one that it has when another sweep is chosen.
"""

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import DataSourceRef

from orchestrator.grafana.boards.queries import MARGIN_S
from orchestrator.grafana.push import DATASOURCE_NAME, DATASOURCE_UID

DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

Variable = Builder[model.VariableModel]

_SHOWN = "[$__range]"
# From 1980 to 2070: on the board of elapsed time, Grafana asks in the year 2000.
_EVER = "[90y] offset -70y"
_JOINED = "on (sweep_id, trial_id)"
# These take text and value of an option from what Grafana makes of a sample: {called="v2 #1",trial_id="…"} 1764000000 …
_TRIAL = '/called="(?<text>[^"]+)",trial_id="(?<value>[^"]+)"/'
_SWEEP = '/called="(?<text>[^"]+)",sweep_id="(?<value>[^"]+)"/'
_MATCHERS = '/called="(?<text>[^"]+)",(?<value>sweep_id="[^"]+",trial_id="[^"]+")/'
_NUMBER = r"/\} (\d+)/"
_ARCH = '/arch="([^"]+)"/'
# What lies in the time range comes first, whatever is newer.
_IN_RANGE_FIRST = "10000000000"
# A sweep is seen with the scorecard of its last trial.
_LATER_S = 90


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
        .hide(model.VariableHide.HIDE_LABEL)
        .description("Where the metrics of the trials are.")
        .type("prometheus")
        .current(model.VariableOption(text=DATASOURCE_NAME, value=DATASOURCE_UID))
    )


def sweep_variable(*, all_of_them: bool = False) -> Variable:
    """`$sweep_id`: all sweeps, by name and day; those of the time range first, the newest before others."""
    variable = _query("sweep_id", "Sweep", f"sort_desc({_named_sweeps()})", _SWEEP)
    if all_of_them:
        return _with_all(variable)
    # Its name and date need no label, which would take a row of its own on a narrow screen.
    return variable.hide(model.VariableHide.HIDE_LABEL)


def trial_variable(*, all_of_them: bool = False) -> Variable:
    """`$trial_id`: the trials of `$sweep_id`, called by setting and repeat, in the same order."""
    matcher = 'sweep_id=~"$sweep_id"' if all_of_them else 'sweep_id="$sweep_id"'
    ordered = f"{_called(_info(matcher, _EVER))} * {_JOINED} group_left () {_ranked(matcher, 'sweep_id, trial_id')}"
    variable = _query("trial_id", "Trial", f"sort_desc(max by (called, trial_id) ({ordered}))", _TRIAL)
    return _with_all(variable) if all_of_them else variable.hide(model.VariableHide.HIDE_LABEL)


def cluster_variable() -> Variable:
    """`$cluster`: the clusters that `orchestrate observe` watched in the time range, by name; the newest first."""
    series = 'orchestrator_trial_active{sweep_id="observed"}'
    newest = f"max by (trial_id) (timestamp({series}) or last_over_time({series}{_SHOWN}))"
    return _query("cluster", "Cluster", f"sort_desc({newest})", '/trial_id="([^"]+)"/')


def arch_variable(*, shown: bool = True) -> Variable:
    """`$arch`: the architectures of the trial's nodes, all of them unless some are chosen."""
    return _archs(f"last_over_time(orchestrator_nodes{{{_ONE_TRIAL}}}{_EVER})", shown=shown)


def _archs(series: str, *, shown: bool) -> Variable:
    variable = _with_all(_query("arch", "Arch", f"count by (arch) ({series})", _ARCH).multi(True))
    return variable if shown else variable.hide(model.VariableHide.HIDE_VARIABLE)


def times_of_trial() -> list[Variable]:
    """`$trial_from` and `$trial_to`, hidden: where a link to the whole trial begins and ends, in UNIX milliseconds."""
    return _times("trial", _ONE_TRIAL, "min", MARGIN_S)


def times_of_sweep() -> list[Variable]:
    """`$sweep_from` and `$sweep_to`, hidden: likewise of the whole sweep, as far as it has come."""
    return _times("sweep", _ONE_SWEEP, "min", _LATER_S)


def times_of_newest_trial() -> list[Variable]:
    """`$trial_from` and `$trial_to`, hidden, of the newest trial of the sweep."""
    return _times("trial", _ONE_SWEEP, "max", MARGIN_S)


def _times(name: str, scope: str, first: str, margin_s: int) -> list[Variable]:
    started = _started(scope, _EVER)
    elapsed = f"last_over_time(orchestrator_trial_elapsed_seconds{{{scope}}}{_EVER})"
    ends = {"from": f"{first}({started}) - {margin_s}", "to": f"max({started} + {_JOINED} {elapsed}) + {margin_s}"}
    otherwise = {"from": "vector(time() - 900)", "to": "vector(time())"}
    return [_hidden(f"{name}_{end}", f"1000 * round({expr} or {otherwise[end]})") for end, expr in ends.items()]


def _hidden(name: str, expr: str) -> Variable:
    return _query(name, "", expr, _NUMBER, _OfAnother).hide(model.VariableHide.HIDE_VARIABLE)


def choice(
    name: str, label: str, description: str, options: Sequence[tuple[str, str]], *, labelled: bool = True
) -> Variable:
    """Return a variable with fixed options, each text and value; the first is chosen."""
    listed = [
        model.VariableOption(selected=number == 0, text=text, value=value)
        for number, (text, value) in enumerate(options)
    ]
    return (
        build.CustomVariable(name)
        .label(label)
        .description(description)
        .hide(model.VariableHide.DONT_HIDE if labelled else model.VariableHide.HIDE_LABEL)
        .values(", ".join(f"{text} : {value}" for text, value in options))
        .options(listed)
        .current(listed[0])
    )


# Of the board of elapsed time


def sweeps_ever() -> Variable:
    """`$sweep_id`: all sweeps that Prometheus has, or some of them; the newest first."""
    variable = _query("sweep_id", "Sweeps", f"sort_desc({_named_sweeps()})", _SWEEP).multi(True)
    return _with_all(variable.description("Whose trials can be chosen; may be several."))


def archs_of_trials(names: Sequence[str]) -> Variable:
    """`$arch`, hidden: the architectures of the nodes of the trials that are chosen in these variables."""
    nodes = (f"last_over_time(orchestrator_nodes{{{_matchers_of(name)}}}{_EVER})" for name in names)
    return _archs(" or ".join(nodes), shown=False)


def end_of_longest(names: Sequence[str], zero_s: int) -> Variable:
    """`$longest_to`, hidden: where the longest of the chosen trials ends on the axis, in UNIX milliseconds."""
    lasted = (f"last_over_time(orchestrator_trial_elapsed_seconds{{{_matchers_of(name)}}}{_EVER})" for name in names)
    return _hidden(
        "longest_to", f"1000 * round({zero_s + MARGIN_S} + max({' or '.join(lasted)}) or vector({zero_s + 900}))"
    )


def compared_trial(name: str, label: str, *, besides: Sequence[str], optional: bool) -> Variable:
    """Return a trial of `$sweep_id`, the newest first, without those of the variables `besides`.

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
    """Return the part of an address that chooses a trial in the variable NAME; the ids may be Grafana's expressions."""
    return f"var-sweep_id={sweep_id}&var-{name}=sweep_id%3D%22{sweep_id}%22%2Ctrial_id%3D%22{trial_id}%22"


def start_of(name: str, zero_s: int) -> Variable:
    """`$NAME_start`, hidden: whole seconds from `zero_s` to when the trial of the variable NAME was submitted."""
    started = f"round(max({_started(_matchers_of(name), _EVER)}) - {zero_s})"
    return _hidden(f"{name}_start", f"{started} or vector(1)")


# What they share

_ONE_SWEEP = 'sweep_id="$sweep_id"'
_ONE_TRIAL = f'{_ONE_SWEEP}, trial_id="$trial_id"'


def _matchers_of(variable: str) -> str:
    return f"${{{variable}:raw}}"


def _info(matchers: str, window: str) -> str:
    return f"last_over_time(orchestrator_trial_info{{{matchers}}}{window})"


def _started(matchers: str, window: str) -> str:
    return f"last_over_time(orchestrator_trial_start_timestamp_seconds{{{matchers}}}{window})"


def _newest(matchers: str) -> str:
    """Now for a trial that lives, else when it was submitted, 0 if it never was: what has failed before comes last."""
    lives = f"timestamp(orchestrator_trial_info{{{matchers}}})"
    return f"{lives} or {_started(matchers, _EVER)} or 0 * {_info(matchers, _EVER)}"


def _ranked(matchers: str, by: str) -> str:
    """Return a ranking, newest first, with series that have a sample in the time range on top; one for each `by`."""
    ranked = f"max by ({by}) ({_newest(matchers)})"
    in_range = f"max by ({by}) ({_IN_RANGE_FIRST} * {_info(matchers, _SHOWN)})"
    return f"({ranked} + on ({by}) {in_range} or {ranked})"


def _named_sweeps() -> str:
    """Sweeps with the label `called`: the name (else the id) and when it was begun, in UTC; or the id alone."""
    ranked = _ranked("", "sweep_id")
    info = "last_over_time(orchestrator_sweep_info{{{}}}" + _EVER + ")"
    day = '"date", "$1", "date", "[0-9]+-(.+)"'
    parts = {'name!=""': "name", 'name=""': "sweep_id"}
    named = " or ".join(
        f'label_join(label_replace({info.format(matcher)}, {day}), "called", " · ", "{name}", "date")'
        for matcher, name in parts.items()
    )
    unnamed = f'label_replace({ranked}, "called", "$1", "sweep_id", "(.*)")'
    known = f"{ranked} * on (sweep_id) group_left (called) max by (called, sweep_id) ({named})"
    return f"max by (called, sweep_id) ({known} or on (sweep_id) {unnamed})"


def _called(info: str, also: str = "") -> str:
    """Add the label `called`: setting and repeat, and the sweep if `also` names its label."""
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

"""The variables of the boards: Prometheus, sweep, trial and architecture.

The newest sweep and trial come first, because Grafana selects the first option. No variable accepts a typed value,
because it would keep that value when you choose another sweep.
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
# From 1980 to 2070, because the board of elapsed time queries in the year 2000.
_EVER = "[90y] offset -70y"
_JOINED = "on (sweep_id, trial_id)"
# These extract text and value of an option from Grafana's form of a sample: {called="v2 #1",trial_id="…"} 1764000000 …
_TRIAL = '/called="(?<text>[^"]+)",trial_id="(?<value>[^"]+)"/'
_SWEEP = '/called="(?<text>[^"]+)",sweep_id="(?<value>[^"]+)"/'
_MATCHERS = '/called="(?<text>[^"]+)",(?<value>sweep_id="[^"]+",trial_id="[^"]+")/'
_NUMBER = r"/\} (\d+)/"
_ARCH = '/arch="([^"]+)"/'
# Options in the time range come first, even before newer ones.
_IN_RANGE_FIRST = "10000000000"
# Show a sweep until the scorecard of its last trial has appeared.
_LATER_S = 90


class _OfAnother(build.QueryVariable):
    """A variable derived from others. Addresses don't carry it, because an old address would restore an old value."""

    def build(self) -> model.VariableModel:
        variable = super().build()
        variable.skip_url_sync = True
        return variable


def datasource_variable() -> Variable:
    """Return the variable of the Prometheus that the board queries. It starts as the data source pushed with it."""
    return (
        build.DatasourceVariable("datasource")
        .label("Prometheus")
        .hide(model.VariableHide.HIDE_LABEL)
        .description("The Prometheus that stores the metrics of the trials.")
        .type("prometheus")
        .current(model.VariableOption(text=DATASOURCE_NAME, value=DATASOURCE_UID))
    )


def sweep_variable(*, all_of_them: bool = False) -> Variable:
    """Return `$sweep_id`: all sweeps, by name and day. Sweeps in the time range come first, newest first."""
    variable = _query("sweep_id", "Sweep", f"sort_desc({_named_sweeps()})", _SWEEP)
    if all_of_them:
        return _with_all(variable)
    # Name and date are clear without a label, which would take a row on a narrow screen.
    return variable.hide(model.VariableHide.HIDE_LABEL)


def trial_variable(*, all_of_them: bool = False) -> Variable:
    """Return `$trial_id`: the trials of `$sweep_id`, named by setting and repeat, in the same order."""
    matcher = 'sweep_id=~"$sweep_id"' if all_of_them else 'sweep_id="$sweep_id"'
    ordered = f"{_called(_info(matcher, _EVER))} * {_JOINED} group_left () {_ranked(matcher, 'sweep_id, trial_id')}"
    variable = _query("trial_id", "Trial", f"sort_desc(max by (called, trial_id) ({ordered}))", _TRIAL)
    return _with_all(variable) if all_of_them else variable.hide(model.VariableHide.HIDE_LABEL)


def cluster_variable() -> Variable:
    """Return `$cluster`: the clusters that `orchestrate observe` watched in the time range, newest first."""
    series = 'orchestrator_trial_active{sweep_id="observed"}'
    newest = f"max by (trial_id) (timestamp({series}) or last_over_time({series}{_SHOWN}))"
    return _query("cluster", "Cluster", f"sort_desc({newest})", '/trial_id="([^"]+)"/')


def arch_variable(*, shown: bool = True) -> Variable:
    """Return `$arch`: the architectures of the trial's nodes, all by default."""
    return _archs(f"last_over_time(orchestrator_nodes{{{_ONE_TRIAL}}}{_EVER})", shown=shown)


def _archs(series: str, *, shown: bool) -> Variable:
    variable = _with_all(_query("arch", "Arch", f"count by (arch) ({series})", _ARCH).multi(True))
    return variable if shown else variable.hide(model.VariableHide.HIDE_VARIABLE)


def times_of_trial() -> list[Variable]:
    """Return the hidden `$trial_from` and `$trial_to`: the range of the whole trial, in UNIX milliseconds."""
    return _times("trial", _ONE_TRIAL, "min", MARGIN_S)


def times_of_sweep() -> list[Variable]:
    """Return the hidden `$sweep_from` and `$sweep_to`: the range of the whole sweep so far, in UNIX milliseconds."""
    return _times("sweep", _ONE_SWEEP, "min", _LATER_S)


def times_of_newest_trial() -> list[Variable]:
    """Return the hidden `$trial_from` and `$trial_to` of the newest trial of the sweep."""
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
    """Return a variable with fixed options, each a text and a value. The first is selected."""
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


# The board of elapsed time


def sweeps_ever() -> Variable:
    """Return `$sweep_id`: all sweeps that Prometheus has, newest first. You can select several."""
    variable = _query("sweep_id", "Sweeps", f"sort_desc({_named_sweeps()})", _SWEEP).multi(True)
    return _with_all(variable.description("The sweeps whose trials you can choose, one or several."))


def archs_of_trials(names: Sequence[str]) -> Variable:
    """Return the hidden `$arch`: the architectures of the nodes of the trials selected in these variables."""
    nodes = (f"last_over_time(orchestrator_nodes{{{_matchers_of(name)}}}{_EVER})" for name in names)
    return _archs(" or ".join(nodes), shown=False)


def end_of_longest(names: Sequence[str], zero_s: int) -> Variable:
    """Return the hidden `$longest_to`: the end of the longest selected trial on the axis, in UNIX milliseconds."""
    lasted = (f"last_over_time(orchestrator_trial_elapsed_seconds{{{_matchers_of(name)}}}{_EVER})" for name in names)
    return _hidden(
        "longest_to", f"1000 * round({zero_s + MARGIN_S} + max({' or '.join(lasted)}) or vector({zero_s + 900}))"
    )


def compared_trial(name: str, label: str, *, besides: Sequence[str], optional: bool) -> Variable:
    """Return a variable of the trials of `$sweep_id`, newest first, without those selected in `besides`.

    Its value is the matchers of the trial's series, its text is the trial's name. It always has the option "none",
    because an empty selector is an error: first if the trial is `optional`, otherwise last.
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
    """Return the part of an address that selects a trial in the variable NAME. The ids may be Grafana expressions."""
    return f"var-sweep_id={sweep_id}&var-{name}=sweep_id%3D%22{sweep_id}%22%2Ctrial_id%3D%22{trial_id}%22"


def start_of(name: str, zero_s: int) -> Variable:
    """Return the hidden `$NAME_start`: whole seconds from `zero_s` to the submission of the trial in NAME."""
    started = f"round(max({_started(_matchers_of(name), _EVER)}) - {zero_s})"
    return _hidden(f"{name}_start", f"{started} or vector(1)")


# Shared parts

_ONE_SWEEP = 'sweep_id="$sweep_id"'
_ONE_TRIAL = f'{_ONE_SWEEP}, trial_id="$trial_id"'


def _matchers_of(variable: str) -> str:
    return f"${{{variable}:raw}}"


def _info(matchers: str, window: str) -> str:
    return f"last_over_time(orchestrator_trial_info{{{matchers}}}{window})"


def _started(matchers: str, window: str) -> str:
    return f"last_over_time(orchestrator_trial_start_timestamp_seconds{{{matchers}}}{window})"


def _newest(matchers: str) -> str:
    """Return now for a live trial, else its submission, or 0 without one, so that early failures come last."""
    lives = f"timestamp(orchestrator_trial_info{{{matchers}}})"
    return f"{lives} or {_started(matchers, _EVER)} or 0 * {_info(matchers, _EVER)}"


def _ranked(matchers: str, by: str) -> str:
    """Return a ranking, newest first, with series in the time range on top; one for each `by`."""
    ranked = f"max by ({by}) ({_newest(matchers)})"
    in_range = f"max by ({by}) ({_IN_RANGE_FIRST} * {_info(matchers, _SHOWN)})"
    return f"({ranked} + on ({by}) {in_range} or {ranked})"


def _named_sweeps() -> str:
    """Return sweeps with the label `called`: the name (or id) and its start in UTC, or the id alone."""
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
    """Return the query with the label `called`: setting and repeat, and the sweep if `also` names its label."""
    called = f'label_join({info}, "called", " #", "setting", "repeat")'
    return f'label_join({called}, "called", " in ", "called", "{also}")' if also else called


def _query(
    name: str, label: str, expr: str, regex: str, kind: type[build.QueryVariable] = build.QueryVariable
) -> build.QueryVariable:
    """Return a variable whose options follow the order of `expr`. `regex` takes text and value from each sample."""
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

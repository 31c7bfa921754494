"""`orchestrate simulate --optimise`: print the best settings instead of running a sweep."""

from orchestrator.cli.commands.sweep import Request
from orchestrator.cli.console import check_json_target, console, reporter, write_json
from orchestrator.errors import InputError
from orchestrator.lab.home import Home
from orchestrator.lab.parallel import automatic
from orchestrator.lab.search import DEFAULT_CANDIDATES, check_candidates, parse_objective, search_settings


def run(home: Home, request: Request, expression: str, candidates: int | None) -> int:
    """Search, and print the result; return the exit code."""
    _refuse_options_of_a_recorded_sweep(request)
    count = DEFAULT_CANDIDATES if candidates is None else candidates
    check_candidates(count)
    if (json_file := request.json_file) is not None:
        check_json_target(json_file)
    found = search_settings(
        home,
        request.spec,
        request.options.spec_overrides(),
        parse_objective(expression),
        reporter(),
        candidates=count,
        engine=request.execution.engine or automatic(),
        boot_from=request.boot_from,
        workload_from=request.workload_from,
    )
    from orchestrator.report.terminal.optimum import optimum_document, optimum_table

    plan = found.plan
    table = optimum_table(found.optimum, found.seeds, plan.notes, plan.assumptions, plan.provider)
    console(stderr=json_file == "-").print(table)
    if json_file is not None:
        document = optimum_document(found.optimum, found.seeds, plan.assumptions)
        write_json(json_file, document.model_dump(mode="json"))
    return 0


def _refuse_options_of_a_recorded_sweep(request: Request) -> None:
    given = {
        "--resume": request.resume,
        "--keep-invalid": request.execution.keep_invalid,
        "--dry-run": request.dry_run,
        "--name": request.options.name,
        "--order": request.options.order,
    }
    for option, value in given.items():
        if value:
            raise InputError(f"--optimise has no {option}", "it records no sweep; leave one of them out")

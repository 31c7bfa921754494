"""Help texts: panels, choices and examples; options given twice; completion of values."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.cli.completion import complete_objective, complete_prices
from orchestrator.errors import InputError
from orchestrator.lab.home import Home
from tests.support.builders import trial

PANELS = ["What to try", "Workload", "Cluster", "Run", "Watching", "Output", "Options"]
EVERY_COMMAND = [
    path
    for name, command in sorted(typer.main.get_command(app).commands.items())  # type: ignore[attr-defined]
    for path in ([name, sub] for sub in getattr(command, "commands", {None: None}))
]


def help_of(*command: str) -> str:
    result = CliRunner().invoke(app, [*command, "--help"], prog_name="orchestrate", env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    return result.output


def test_the_options_of_a_sweep_are_in_panels() -> None:
    headings = re.findall(r"^(\w[\w ]*):$", help_of("sweep"), re.MULTILINE)

    assert headings == [*PANELS, "Examples"]


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=lambda path: " ".join(filter(None, path)))
def test_no_help_lists_variables_that_follow_from_names_or_is_wider_than_its_terminal(command: list[str]) -> None:
    text = help_of(*filter(None, command))
    own, _, examples = text.partition("Examples:\n")

    assert "[env var" not in text
    assert max(map(len, own.splitlines())) <= 80
    assert examples.lstrip().startswith(("orchestrate ", "ORCHESTRATE_"))


def test_examples_are_printed_as_they_are_written() -> None:
    line = "orchestrate sweep --upscaling-speed 1,10 --idle-timeout-minutes 0.25,1 --repeat 5 --order random"

    assert f"  {line}\n" in help_of("sweep")


@pytest.mark.parametrize(
    ("option", "choices"),
    [
        ("backend", "local|docker|aws|simulated"),
        ("arrival", "burst|waves|ramp|poisson"),
        ("order", "grid|random"),
        ("fit", "machine|none"),
        ("isolation", "reuse|fresh"),
        ("task-kind", "sleep|burn"),
    ],
)
def test_choices_are_listed(option: str, choices: str) -> None:
    assert re.search(rf"--{option} .{re.escape(choices)}.\s", help_of("sweep"))


def test_the_list_of_commands_has_whole_sentences() -> None:
    text = help_of()

    assert "..." not in text.partition("Commands:")[2]
    assert "is the difference real?\n" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["sweep", "--tasks", "4", "--tasks", "8", "--dry-run"],
        ["simulate", "--order", "grid", "--order", "random", "--dry-run"],
        ["show", "--json", "--home", "a"],
    ],
)
def test_an_option_that_takes_one_value_is_refused_if_it_is_given_twice(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    expected = "No such option" if "--home" in arguments else f"{arguments[1]} is given 2 times"

    assert result.exit_code != 0
    assert expected in (result.output + str(result.exception))


def test_a_flag_may_be_given_twice(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--home", str(tmp_path), "list", "--json", "--json"])

    assert result.exit_code == 0, result.output
    assert not isinstance(result.exception, InputError)


def completions(words: str, home: Path) -> list[str]:
    """The values that bash offers for the last word of a command line."""
    code = "from orchestrator.cli import main; main()"
    environment = {
        "_ORCHESTRATE_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "ORCHESTRATE_HOME": str(home),
        "PATH": "/usr/bin",
    }
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert result.stderr == ""
    return result.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("orchestrate sweep --arrival ", ["burst", "waves", "ramp", "poisson"]),
        ("orchestrate sweep --backend d", ["docker"]),
        ("orchestrate sweep --autoscaler v1", ["v1", "v1,v2"]),
        ("orchestrate sweep --prices us-e", ["us-east-1"]),
        ("orchestrate show ", ["@last"]),
    ],
)
def test_values_are_completed_and_no_home_is_made(words: str, offered: list[str], tmp_path: Path) -> None:
    assert set(offered) <= set(completions(words, tmp_path / "home"))
    assert not (tmp_path / "home").exists()


def test_ids_of_sweeps_and_of_their_trials_are_completed(tmp_path: Path) -> None:
    Home(tmp_path, "").ledger().add_sweep(
        "5e3e90aa", [trial()], name="night run", backend="local", spec={}, environment={}
    )

    assert completions("orchestrate show 5e", tmp_path) == ["5e3e90aa"]
    assert completions("orchestrate sweep --resume ", tmp_path) == ["@last", "5e3e90aa"]
    assert completions("orchestrate show 5e3e/", tmp_path) == [f"5e3e/{trial().trial_id}"]
    assert completions("orchestrate show f", tmp_path) == []


def test_a_damaged_ledger_offers_no_ids(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("not a database")

    assert completions("orchestrate show ", tmp_path) == ["@last"]


def test_the_last_word_of_an_objective_is_completed() -> None:
    assert complete_objective("makespan_s + 100*cost_u") == ["makespan_s + 100*cost_usd"]
    assert "cost" in complete_objective("co")


def test_regions_are_completed() -> None:
    assert "eu-west-1" in complete_prices("eu-w")
    assert complete_prices("moon") == []

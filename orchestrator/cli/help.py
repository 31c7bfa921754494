"""The layout of help texts: options in panels, examples as they are written; and a check for repeated options."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from orchestrator.errors import InputError

_DEFAULT_PANEL = "Options"
_INDENT = "  "


class LabCommand(TyperCommand):
    """A command whose help lists options by panel and prints its examples unchanged, ready to paste."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then each panel of options."""
        _write_panels(self.get_params(ctx), ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples without wrapping, and how to set options by environment variables."""
        _write_examples(self.epilog, formatter)
        variables = [
            param for param in self.get_params(ctx) if param.param_type_name == "option" and param.expose_value
        ]
        if variables and ctx.auto_envvar_prefix:
            first = variables[0]
            formatter.write_paragraph()
            formatter.write_text(
                f"Options can come from the environment: {ctx.auto_envvar_prefix}_{first.name.upper()} sets "
                f"{first.opts[0]}."
            )

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse an option that is given twice, unless it takes several values: neither value wins silently."""
        if not ctx.resilient_parsing:
            _, _, given = self.make_parser(ctx).parse_args(args=list(args))
            for param, times in Counter(given).items():
                if times > 1 and param.param_type_name == "option" and not _may_be_repeated(param):
                    raise InputError(f"{param.opts[0]} is given {times} times", "give it once")
        return super().parse_args(ctx, args)


class LabGroup(TyperGroup):
    """A group of commands whose help lists each command with its whole first sentence."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, then the commands."""
        _write_panels(self.get_params(ctx), ctx, formatter)
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, _first_sentence(command.help or "")) for name, command in commands if command and not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples without wrapping."""
        _write_examples(self.epilog, formatter)


def option(*names: str, help: str, panel: str = _DEFAULT_PANEL, **details: Any) -> Any:
    """Declare an option in a panel of the help."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **details)


def _may_be_repeated(param: Any) -> bool:
    return bool(param.multiple or param.is_flag or param.count)


def _write_panels(params: Iterable[Any], ctx: Any, formatter: Any) -> None:
    panels: dict[str, list[tuple[str, str]]] = {}
    for param in params:
        if param.envvar is None:
            param.show_envvar = False  # it follows from the option's name; the end of the help gives the rule
        record = param.get_help_record(ctx)
        if record is not None:
            argument = param.param_type_name == "argument"
            panel = "Arguments" if argument else getattr(param, "rich_help_panel", None) or _DEFAULT_PANEL
            panels.setdefault(panel, []).append(record)
    general = panels.pop(_DEFAULT_PANEL, [])  # --help and its like come last
    for panel, records in (*panels.items(), (_DEFAULT_PANEL, general)):
        if records:
            with formatter.section(panel):
                formatter.write_dl(records)


def _write_examples(examples: str | None, formatter: Any) -> None:
    if examples:
        formatter.write_paragraph()
        for line in filter(str.strip, examples.splitlines()):
            if not line.startswith(_INDENT):
                formatter.write_paragraph()
            formatter.write(f"{line}\n")


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    return re.split(r"(?<=[.?]) ", paragraph)[0]

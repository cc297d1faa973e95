"""The command line: `pysniff` and `python -m pysniff`. The only place that prints.

Without a subcommand it sniffs. Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from pysniff.cli.errors import guarded
from pysniff.cli.sniff import EXAMPLES
from pysniff.cli.sniff import sniff as sniff_command

# The module that has the command, which is imported for its sake alone.
COMMANDS = {
    "doctor": "doctor", "filter": "filter", "hub": "hub", "query": "query", "run": "launch", "sniff": "sniff",
    "worker": "worker",
}  # fmt: skip
GROUP_OPTIONS = ("-h", "--help", "--version")


class Pysniff(click.Group):
    """A group whose default command is `sniff`, and whose every failure is one line and an exit code."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in COMMANDS and args[0] not in GROUP_OPTIONS):
            args = ["sniff", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"pysniff.cli.{COMMANDS[cmd_name]}"), cmd_name)
        return command

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage("pysniff", "[sniff] [OPTIONS] [BPF]...")
        formatter.write_usage("pysniff", "COMMAND [OPTIONS] [ARGS]...")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # The default command's options are what somebody who asks for help is after.
        with click.Context(sniff_command, info_name="sniff", parent=ctx) as inner:
            options = [param for param in sniff_command.get_params(inner) if isinstance(param, click.Option)]
            rows = [row for param in options if (row := param.get_help_record(inner))]
        version = next(param for param in self.params if param.name == "version")
        rows[-1:-1] = [row for row in (version.get_help_record(ctx),) if row]
        with formatter.section("Options"):
            formatter.write_dl(rows)
        self.format_commands(ctx, formatter)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        arguments = list(sys.argv[1:] if args is None else args)

        def run() -> int:
            with self.make_context("pysniff", arguments, **extra) as context:
                return self.invoke(context) or 0

        sys.exit(guarded(run))


def _version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from pysniff import __version__

        click.echo(f"pysniff {__version__}")
        context.exit()


@click.group(cls=Pysniff, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version and exit."
)
def group() -> None:
    """See the API calls in network traffic: requests paired with their responses.

    Reads live from interfaces or from capture files. `sniff` is what it does without a subcommand.
    """


def main() -> NoReturn:
    """The console script."""
    group.main()

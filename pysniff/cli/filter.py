"""`pysniff filter`: whether a display filter compiles, what it means, and which variables there are."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from pysniff.cli.errors import FILTER, FINE
from pysniff.cli.terminal import Terminal, terminal, visible
from pysniff.errors import FilterError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pysniff.kfl.explain import Explanation
    from pysniff.kfl.filter import Filter
    from pysniff.kfl.schema import Variable

EXAMPLES = """\b
Examples:
  pysniff filter 'http && dst.port == 8080 && status_code >= 500'
  pysniff filter --list                  every variable
  pysniff filter --list cookie           those that have to do with cookies
"""


@click.command(
    "filter",
    short_help="Check a display filter, or list what it may name.",
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--list", "listed", is_flag=True, help="List the variables, or those with these words about them.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object, or a list of variables.")
@click.option("--markdown", is_flag=True, help="With --list: the tables of docs/filter.md.")
@click.argument("words", nargs=-1, metavar="[KFL]...")
def filter(listed: bool, as_json: bool, markdown: bool, words: tuple[str, ...]) -> int:
    """Check a display filter and explain it, or list what it may name.

    Exits 4 where it does not compile.
    """
    if markdown and (not listed or as_json):
        raise OptionError("--markdown is for --list", hint="pysniff filter --list --markdown")
    if listed:
        _list(_found(words), as_json=as_json, markdown=markdown)
        return FINE
    return _explain(" ".join(words), as_json=as_json)


def _explain(text: str, *, as_json: bool) -> int:
    from pysniff.cli.display_filter import display_filter
    from pysniff.kfl.explain import explained
    from pysniff.kfl.record import record

    try:
        compiled = display_filter(text)
    except FilterError as error:
        if not as_json:
            raise
        _print_json({"error": _error(error)})
        return FILTER
    explanation = explained(compiled)
    if as_json:
        _print_json(record(compiled, explanation))
        return FINE
    look = terminal(sys.stdout)
    for words in _lines(compiled, explanation, look):
        click.echo(words)
    return FINE


def _error(error: FilterError) -> dict[str, Any]:
    return {"message": error.message, "hint": error.hint, "line": error.line, "column": error.column}


def _lines(compiled: Filter, explanation: Explanation, look: Terminal) -> Iterable[str]:
    from pysniff.kfl.record import moment, used

    if not explanation.text:
        yield "An empty filter: every entry matches. `pysniff filter --list` shows what a filter may name."
        return
    yield visible(explanation.text)
    named = [f"{variable.name} ({variable.type})" for variable in used(compiled)]
    start, end = moment(explanation.start), moment(explanation.end)
    if start is not None and end is not None and start > end:
        times = "no time: nothing can match"
    else:
        times = " ".join(words for words in (start and f"from {start}", end and f"to {end}") if words)
    for title, text in (
        ("type", "bool"),
        ("variables", ", ".join(named) or "none"),
        ("index", explanation.index or "any conversation may have a match"),
        ("times", times or "any"),
        ("dissection", ", ".join(explanation.dissected) or "of none of them"),
    ):
        yield f"  {look.paint(f'{title:<11}', 'dim')} {visible(text)}"


def _found(words: Sequence[str]) -> list[Variable]:
    """Those about which every word is said: in the name, the meaning or the section."""
    from pysniff.kfl.variables import schema

    wanted = [word.lower() for word in words]
    found = [variable for variable in schema() if all(word in _about(variable) for word in wanted)]
    if not found:
        raise OptionError(f"no variable has to do with {' '.join(words)}", hint="pysniff filter --list shows all")
    return found


def _about(variable: Variable) -> str:
    return f"{variable.name} {variable.meaning} {variable.section}".lower()


def _list(variables: Sequence[Variable], *, as_json: bool, markdown: bool) -> None:
    if as_json:
        from pysniff.kfl.record import row

        _print_json([row(variable) for variable in variables])
        return
    for line in tables(variables) if markdown else _columns(variables, terminal(sys.stdout)):
        click.echo(line)


def _columns(variables: Sequence[Variable], look: Terminal) -> Iterable[str]:
    section = ""
    width = max(len(variable.name) for variable in variables)
    for variable in variables:
        if variable.section != section:
            if section:
                yield ""
            section = variable.section
            yield look.paint(section, "bold")
        kind = look.paint(f"{variable.type!s:<19}", "dim")
        yield f"  {variable.name:<{width}}  {kind}  {visible(variable.meaning)}"


def tables(variables: Iterable[Variable]) -> Iterable[str]:
    """Markdown: a heading and a table for each section."""
    section = ""
    for variable in variables:
        if variable.section != section:
            if section:
                yield ""
            section = variable.section
            yield from (f"### {section}", "| variable | type | meaning |", "|---|---|---|")
        yield f"| `{variable.name}` | {variable.type} | {variable.meaning} |"


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=True))

"""`pysniff doctor`: whether live capture works here, and what to do where it does not."""

from __future__ import annotations

import sys
from itertools import zip_longest

import click

from pysniff.cli.options import Seconds
from pysniff.cli.terminal import terminal, visible


@click.command(
    "doctor",
    short_help="Say whether this machine can capture and decrypt.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--watch",
    type=Seconds(),
    metavar="SECONDS",
    help="Capture so long, and tell of each program how many keys were seen, and how many of its TLS connections"
    " were decrypted and had no keys.",
)
def doctor(watch: float | None) -> int:
    """Check whether this machine can capture and decrypt, and say what to do where it cannot.

    Keys of running programs are tried by placing the probes of --tls, for a moment or the time of --watch. Exits 0 if
    live capture works, 5 if a privilege is missing, 2 if there is no interface.
    """
    # Loaded here: whoever sniffs does not need ctypes and subprocess.
    from pysniff.cli import checks
    from pysniff.cli.finding import Verdict

    look = terminal(sys.stdout)
    colours = {Verdict.FINE: "green", Verdict.NOTE: "yellow", Verdict.BAD: "red"}
    if watch and sys.stderr.isatty():
        click.echo(f"watching for {watch:g} seconds ...", err=True)
    code, findings = checks.examine(watch or 0.0)
    for check, after in zip_longest(findings, findings[1:]):
        mark = look.paint(check.verdict.value, colours[check.verdict])
        click.echo(f"{mark}  {check.name:<17}{visible(check.text)}")
        # One remedy for several findings stands under the last.
        if check.remedy and (after is None or after.remedy != check.remedy):
            click.echo(f"{'':21}-> {visible(check.remedy)}")
    return code

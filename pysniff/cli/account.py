"""The account at the end of a run, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pysniff.cli.terminal import visible

if TYPE_CHECKING:
    from pysniff.ledger import Ledger


def print_ledger(ledger: Ledger) -> None:
    for text in ledger.lines():
        # Reasons may quote the wire.
        click.echo(visible(text), err=True)

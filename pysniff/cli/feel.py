"""What a person sees while nothing is to be seen: who listens, and why no line comes. stderr, terminals only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Timer
from typing import TYPE_CHECKING

import click

from pysniff.cli.terminal import visible

if TYPE_CHECKING:
    from pysniff.ledger import Ledger

PATIENCE = 10.0  # seconds


def listening(interfaces: Sequence[str]) -> None:
    click.echo(f"listening on {', '.join(map(visible, interfaces)) or 'no interface'} ... Ctrl-C stops", err=True)


def quiet_hint(ledger: Ledger) -> str:
    """Why nothing was shown so far, or "" where something was."""
    if ledger.requests or ledger.responses or ledger.alone or ledger.unrecognised:
        return ""
    if not ledger.packets:
        return "no packets yet (pysniff -D lists the interfaces; a capture filter may let none through)"
    return (
        f"{ledger.packets:,} packets but no known protocol yet"
        " (conversations nobody recognises are shown when they end; -d forces a protocol on a port)"
    )


def empty_hint(ledger: Ledger) -> str:
    """Why a file or a store that was read to its end showed nothing."""
    if ledger.not_matching:
        return f"none of {ledger.not_matching:,} calls matches the filter"
    if ledger.filtered and ledger.filtered == ledger.packets:
        return f"the capture filter lets none of {ledger.packets:,} packets through"
    if ledger.pruned_packets:
        return "no call matches"
    return f"no calls in {ledger.packets:,} packets" if ledger.packets else "no packets"


class Notices:
    """Tells what sources note while they run: an interface that went away, a file that was replaced."""

    def __init__(self, *notices: Sequence[str]) -> None:
        self._notices = notices
        self._told = [0] * len(notices)

    def tell(self) -> None:
        for place, notices in enumerate(self._notices):
            while self._told[place] < len(notices):
                click.echo(f"pysniff: {visible(notices[self._told[place]])}", err=True)
                self._told[place] += 1


class QuietHint:
    """Says once, after PATIENCE, why it is quiet."""

    def __init__(self, ledger: Callable[[], Ledger]) -> None:
        self._ledger = ledger
        self._timer = Timer(PATIENCE, self._tell)
        self._timer.daemon = True

    def __enter__(self) -> QuietHint:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _tell(self) -> None:
        hint = quiet_hint(self._ledger())
        if hint:
            click.echo(f"pysniff: {hint}", err=True)

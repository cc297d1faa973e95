"""-D: the interfaces that there are, one a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pysniff.cli.terminal import visible

if TYPE_CHECKING:
    from pysniff.capture.interfaces import Interface


def interface_lines(interfaces: Sequence[Interface]) -> list[str]:
    """As `tcpdump -D`: number, name, what it is, its addresses."""
    width = max((len(interface.name) for interface in interfaces), default=0)
    lines = []
    for number, interface in enumerate(interfaces, 1):
        # What has a description of its own is no network interface, which could be up.
        state = "up" if interface.up else "" if interface.description else "down"
        if interface.loopback:
            state += ", loopback"
        text = f"{number:>2}. {visible(interface.name):<{width}}  {state:<14}  {', '.join(interface.addresses)}"
        if interface.description:
            text = f"{text}  {visible(interface.description)}"
        lines.append(text.rstrip())
    return lines


def print_interfaces() -> None:
    from pysniff.capture.interfaces import list_interfaces

    for line in interface_lines(list_interfaces()):
        click.echo(line)

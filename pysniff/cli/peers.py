"""What `pysniff worker`, `pysniff hub` and `pysniff --web` share: options of tokens and TLS, lines for people, and how
they end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from pysniff.cli.errors import complain
from pysniff.errors import FileError

if TYPE_CHECKING:
    import asyncio

Command = TypeVar("Command", bound=Callable[..., object])
File = click.Path(path_type=Path)

token_option = click.option(
    "--token-file",
    type=File,
    metavar="FILE",
    help="Where the token is, 0600. Without it PYSNIFF_TOKEN has it, or one is made in the user's state folder.",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Tell nothing but errors.")


def tls_options(peers: str, demanded: tuple[str, str]) -> Callable[[Command], Command]:
    """--tls-cert, --tls-key and --tls-ca; `peers`: whom the certificate is shown, `demanded`: who must show one."""
    options = (
        click.option(
            "--tls-cert",
            type=File,
            metavar="FILE",
            help=f"Serve TLS with this certificate (PEM), and show it to {peers}.",
        ),
        click.option("--tls-key", type=File, metavar="FILE", help="Its private key (PEM)."),
        click.option(
            "--tls-ca",
            type=File,
            metavar="FILE",
            help=f"Mutual TLS: {demanded[0]} must show a certificate of this CA (PEM), {demanded[1]} too.",
        ),
    )

    def all_of_them(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return all_of_them


def own_token(file: Path | None) -> tuple[str, str]:
    """The token that hub and worker of a user share, and where it is: in a file, where one is made, or in the
    environment. Raises FileError and OptionError."""
    from pysniff.cluster import state_folder
    from pysniff.cluster.tokens import VARIABLE, find_token, kept_token

    token = find_token(None, os.environ) if file is None else None
    if token is not None:
        return token, VARIABLE
    kept = file or state_folder.token_file(os.environ)
    return kept_token(kept), str(kept)


def hub_token(file: Path | None, host: str) -> tuple[str | None, str]:
    """The token of a hub that listens on `host`, and where it is; None where this machine alone is served and nothing
    can be kept."""
    from pysniff.cluster.access import is_loopback

    try:
        return own_token(file)
    except FileError:
        if file is None and is_loopback(host):
            return None, ""
        raise


def where(what: str, url: str, token: str | None, source: str, place: str = "") -> str:
    """Where something is, and `place` behind its address. The token is shown to a person at a terminal, and stands in
    no log."""
    if token is None:
        return f"{what} at {url}{place} (for this machine alone)"
    if sys.stderr.isatty():
        return f"{what} at {url}?token={token}{place} (the token is in {source})"
    return f"{what} at {url}{place} (sign in with {url}?token=..., the token is in {source})"


def teller(quiet: bool) -> Callable[[str], None]:
    """Where lines for people go."""
    return _nothing if quiet else complain


def ending(*more: signal.Signals) -> asyncio.Event:
    """Set by SIGINT, SIGTERM or one of these; a second one ends at once. In a running loop."""
    import asyncio

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end(number: int) -> None:
        ended.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM, *more):
        loop.add_signal_handler(number, end, number)
    return ended


def _nothing(_: str) -> None:
    pass

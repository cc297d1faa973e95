"""The options that every command has which shows entries: how many, how, and how their packets are dissected."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, TypeVar

import click

from pysniff.cli.options import Size
from pysniff.limits import MIB

Command = TypeVar("Command", bound=Callable[..., Any])

count_option = click.option("-c", "--count", type=click.IntRange(min=1), metavar="N", help="Stop after N entries.")

_LOOKS = (
    click.option("--json", "as_json", is_flag=True, help="One JSON object a line."),
    click.option(
        "-v",
        "--verbose",
        "verbosity",
        count=True,
        help="Heads under each entry and the ledger at the end; -vv: bodies and faults too.",
    ),
)
_DISSECTION = (
    click.option(
        "-d",
        "--decode-as",
        "rules",
        multiple=True,
        metavar="RULE",
        help="Force a protocol on a port: tcp.port==9000,redis; repeatable.",
    ),
    click.option(
        "--proto",
        multiple=True,
        metavar="FILE",
        help="Protobuf descriptor set (protoc -o FILE) that names the fields of gRPC messages; repeatable.",
    ),
    click.option(
        "--names",
        metavar="FILE",
        help="Names of addresses and networks, as in /etc/hosts or as a YAML mapping; they come before those of DNS.",
    ),
    click.option(
        "--keylog",
        multiple=True,
        metavar="FILE",
        help="Secrets that decrypt TLS, as SSLKEYLOGFILE has them; live and with --follow it may grow. Repeatable.",
    ),
    click.option(
        "--body-limit",
        type=Size(),
        default=MIB,
        metavar="SIZE",
        help="Bytes shown of each body, 1MiB unless told: 64k, 2MB, 0. Size and hash cover all of it.",
    ),
    click.option("--strict", is_flag=True, help="Exit 20 where any byte was lost or not understood."),
)


_TRACING = (
    click.option(
        "--tls",
        is_flag=True,
        help="Decrypt TLS with secrets that the kernel reads in running programs; root, Linux 5.8 or later.",
    ),
    click.option(
        "--tls-mode",
        type=click.Choice(["keys", "plaintext"]),
        metavar="MODE",
        help="What --tls reads: keys, and of connections open already the plain text; plaintext reads that of all.",
    ),
    click.option(
        "--tls-only",
        multiple=True,
        metavar="WHO",
        help="Read these programs alone: a process number, a name, or the path of a control group; repeatable.",
    ),
)


STORE_SECRETS = (
    "Keep the secrets of TLS beside the packets that they decrypt, for the owner of the store alone: then history can "
    "be read."
)


def tracing_options(command: Command) -> Command:
    """--tls, --tls-mode and --tls-only, as `tls`, `tls_mode` and `tls_only`; mode_of() makes one of the first two."""
    return _with(_TRACING, command)


def mode_options(command: Command) -> Command:
    """--tls and --tls-mode alone."""
    return _with(_TRACING[:2], command)


def mode_of(tls: bool, tls_mode: str | None) -> str:
    """How programs are read, "" where they are not."""
    return tls_mode or ("keys" if tls else "")


def look_options(command: Command) -> Command:
    """--json and -v, as `as_json` and `verbosity`."""
    return _with(_LOOKS, command)


def dissection_options(command: Command) -> Command:
    """-d, --proto, --names, --keylog, --body-limit and --strict, as `rules`, `proto`, `names`, `keylog`, `body_limit`
    and `strict`."""
    return _with(_DISSECTION, command)


def _with(options: tuple[Callable[[Command], Command], ...], command: Command) -> Command:
    """What stands first is applied last, as decorators are."""
    return reduce(lambda made, option: option(made), reversed(options), command)

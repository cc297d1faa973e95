"""`pysniff query DIR [KFL]`: calls out of a store, or of what all nodes of a hub have stored."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pysniff.cli.display_filter import display_filter
from pysniff.cli.export import Outputs, check_outputs, output_option
from pysniff.cli.options import QueryOptions, Seconds, SniffOptions, decode_as, protocols
from pysniff.cli.showing import count_option, dissection_options, look_options
from pysniff.errors import OptionError
from pysniff.limits import SECOND

if TYPE_CHECKING:
    StrType = click.ParamType[int]
else:  # generic since click 8.4
    StrType = click.ParamType

EXAMPLES = """\b
Examples:
  pysniff query captures                                    every call that is kept
  pysniff query captures 'http && status_code >= 500'       those that a filter lets through
  pysniff query captures --newest-first -c 20               the last twenty
  pysniff query captures 'dst.port == 8080' --from 10m      of the last ten minutes
  pysniff query captures 'host == "shop"' --follow          and those to come
  pysniff query captures 'grpc' -o har calls.har            into a file that browsers open
  pysniff query captures --stream 5f3a9c0012ab34cd -w -     the packets of a connection
  pysniff query http://127.0.0.1:8898 http --follow         of all nodes that a hub asks
"""


class Moment(StrType):
    """2026-11-21T20:00:00Z, 2026-11-21 20:00, 20:00:05 (today), 1763755200 (seconds since 1970), or 10m (ago)."""

    name = "time"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = value.strip()
        if re.fullmatch(r"\d{9,11}(\.\d{1,9})?", text, re.ASCII):
            whole, _, part = text.partition(".")
            return int(whole) * SECOND + int(part.ljust(9, "0") or 0)
        if re.fullmatch(r"-?\d{1,9}(\.\d+)?(ms|s|m|h)", text, re.ASCII):
            return time.time_ns() - int(Seconds().convert(text.lstrip("-"), param, ctx) * SECOND)
        if re.fullmatch(r"-?\d{1,5}d", text, re.ASCII):
            return time.time_ns() - int(timedelta(days=int(text.strip("-d"))).total_seconds()) * SECOND
        try:
            if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?", text, re.ASCII):
                text = f"{datetime.now().astimezone():%Y-%m-%d}T{text.zfill(5)}"
            moment = datetime.fromisoformat(text)
            return int(moment.timestamp()) * SECOND + moment.microsecond * 1000
        except (ValueError, OverflowError, OSError):
            self.fail(
                f"{value!r} is not a time: give 2026-11-21T20:00:00Z, 20:00:05, or 10m for ten minutes ago", param, ctx
            )


@click.command(
    short_help="Show calls out of a store, or of all stores of a hub.",
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("directory", metavar="DIR|URL")
@click.argument("kfl", metavar="[KFL]", required=False)
@click.option("-Y", "--filter", "option", metavar="KFL", help="Display filter; the same as the argument.")
@click.option(
    "--from",
    "start",
    type=Moment(),
    metavar="TIME",
    help="Calls that began then or later: 2026-11-21T20:00:00Z, 20:00:05, 10m (ago).",
)
@click.option("--to", "end", type=Moment(), metavar="TIME", help="Calls that began then or earlier.")
@click.option("--newest-first", is_flag=True, help="From the newest call back.")
@click.option("--follow", is_flag=True, help="Go on with the calls that are recorded from now on.")
@count_option
@click.option(
    "--stream", metavar="ID", help="A connection, by the `stream` or `id` of a call; -w gets all of its packets."
)
@click.option(
    "-w",
    "--write",
    metavar="FILE",
    help="Write the packets that carry the calls: .pcap, .pcapng, or - for pcapng to standard output.",
)
@output_option
@look_options
@click.option("-q", "--quiet", is_flag=True, help="Show no entries and no hints.")
@dissection_options
@click.option("--token-file", metavar="FILE", help="Where a hub's token is; without it PYSNIFF_TOKEN has it.")
@click.option("--tls-ca", metavar="FILE", help="Of a hub with TLS: its certificate's CA (PEM).")
def query(
    directory: str,
    kfl: str | None,
    option: str | None,
    start: int | None,
    end: int | None,
    newest_first: bool,
    follow: bool,
    count: int | None,
    stream: str | None,
    write: str | None,
    outputs: Outputs,
    as_json: bool,
    verbosity: int,
    quiet: bool,
    rules: tuple[str, ...],
    proto: tuple[str, ...],
    names: str | None,
    keylog: tuple[str, ...],
    body_limit: int,
    strict: bool,
    token_file: str | None,
    tls_ca: str | None,
) -> int:
    """Show the API calls in a store that `pysniff --store DIR` keeps, also while it does; or, where a URL stands for
    the directory, those in the stores of all nodes that a hub asks.

    What a filter asks of addresses, ports, times and protocols is looked up in an index; only packets that may carry
    such a call are read.
    """
    if kfl is not None and option is not None:
        raise OptionError("a filter both as an argument and with -Y", hint="give it once")
    if newest_first and follow:
        raise OptionError("--newest-first and --follow exclude each other", hint="what follows is always newer")
    text = kfl if kfl is not None else option
    table = decode_as(rules, protocols()) if rules else {}
    asks_hub = directory.lower().startswith(("http://", "https://"))
    if not asks_hub and (token_file is not None or tls_ca is not None):
        raise OptionError("--token-file and --tls-ca are for a hub", hint="give its URL: http://127.0.0.1:8898")
    if not asks_hub and stream is not None and write is not None:
        return _write_stream(Path(directory), stream, write)
    if stream is not None:
        text = _of_stream(stream, text)
    if asks_hub:
        _refuse_with_hub(
            {"-o": outputs, "-v": verbosity, "--proto": proto, "--names": names, "--keylog": keylog}, write
        )
        from pysniff.cli.hub_query import HubQuestion, ask_hub

        return ask_hub(
            HubQuestion(
                url=directory,
                filter=text or "",
                start=start,
                end=end,
                newest_first=newest_first,
                follow=follow,
                count=count,
                decode_as=table,
                write=write,
                json=as_json,
                quiet=quiet,
                body_limit=body_limit,
                strict=strict,
                token_file=token_file,
                tls_ca=tls_ca,
            )
        )
    options = SniffOptions(
        interfaces=(),
        files=(),
        follow=follow,
        bpf="",
        filter=display_filter(text) if text is not None else None,
        write=write,
        outputs=outputs if write is None else (*outputs, ("pcapng", write)),
        json=as_json,
        verbosity=verbosity,
        quiet=quiet,
        count=count,
        duration=None,
        decode_as=table,
        proto=proto,
        names=names,
        keylog=keylog,
        body_limit=body_limit,
        strict=strict,
        store=directory,
        query=QueryOptions(start=start, end=end, newest_first=newest_first),
    )
    check_outputs(options.outputs, as_json=as_json)
    from pysniff.cli.run import run

    return run(options)


def _refuse_with_hub(given: Mapping[str, object], write: str | None) -> None:
    """Raise OptionError for the first option that has a value, and for a file that a hub cannot write."""
    for name, value in given.items():
        if value:
            hint = "--json shows calls whole" if name == "-v" else "ask the node's own store"
            raise OptionError(f"a hub's answer knows no {name}", hint=hint)
    if write is not None and write.lower().endswith(".pcap"):
        raise OptionError("a hub gives pcapng", hint="name the file .pcapng")


def _of_stream(stream: str, text: str | None) -> str:
    from pysniff.store.find import stream_of

    only = f'stream == "{stream_of(stream)}"'
    return f"{only} && ({text})" if text and text.strip() else only


def _write_stream(directory: Path, stream: str, target: str) -> int:
    from pysniff.capture.writer import Writer
    from pysniff.packet import Block
    from pysniff.store.find import find_stream

    packets = find_stream(directory, stream)
    with Writer(target) as writer:
        for packet in packets:
            writer.write(Block.of(packet))
    return 0

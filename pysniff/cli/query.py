"""`pysniff query DIR [KFL]`: calls out of a store."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pysniff.cli.export import Outputs, check_outputs, output_option
from pysniff.cli.options import QueryOptions, Seconds, Size, SniffOptions, decode_as
from pysniff.errors import OptionError
from pysniff.limits import MIB, SECOND

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


@click.command(epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("directory", metavar="DIR")
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
@click.option("-c", "--count", type=click.IntRange(min=1), metavar="N", help="Stop after N entries.")
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
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "-v",
    "--verbose",
    "verbosity",
    count=True,
    help="Heads under each entry and the ledger at the end; -vv: bodies and faults too.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show no entries and no hints.")
@click.option(
    "-d",
    "--decode-as",
    "rules",
    multiple=True,
    metavar="RULE",
    help="Force a protocol on a port: tcp.port==9000,redis; repeatable.",
)
@click.option("--proto", multiple=True, metavar="FILE", help="Protobuf descriptor set (protoc -o FILE); repeatable.")
@click.option(
    "--body-limit", type=Size(), default=MIB, metavar="SIZE", help="Bytes shown of each body, 1MiB unless told."
)
@click.option("--strict", is_flag=True, help="Exit 20 where any byte was lost or not understood.")
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
    body_limit: int,
    strict: bool,
) -> int:
    """Show the API calls in a store that `pysniff --store DIR` keeps, also while it does.

    What a filter asks of addresses, ports, times and protocols is looked up in an index; only packets that may carry
    such a call are read.
    """
    from pysniff.cli.sniff import _display_filter, protocols

    if kfl is not None and option is not None:
        raise OptionError("a filter both as an argument and with -Y", hint="give it once")
    if newest_first and follow:
        raise OptionError("--newest-first and --follow exclude each other", hint="what follows is always newer")
    if stream is not None and write is not None:
        return _write_stream(Path(directory), stream, write)
    text = kfl if kfl is not None else option
    if stream is not None:
        text = _of_stream(stream, text)
    options = SniffOptions(
        interfaces=(),
        files=(),
        follow=follow,
        bpf="",
        filter=_display_filter(text),
        write=write,
        outputs=outputs if write is None else (*outputs, ("pcapng", write)),
        json=as_json,
        verbosity=verbosity,
        quiet=quiet,
        count=count,
        duration=None,
        decode_as=decode_as(rules, protocols()) if rules else {},
        proto=proto,
        body_limit=body_limit,
        strict=strict,
        store=directory,
        query=QueryOptions(start=start, end=end, newest_first=newest_first),
    )
    check_outputs(options.outputs, as_json=as_json)
    from pysniff.cli.run import run

    return run(options)


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

"""`pysniff sniff`, which is also what `pysniff` does without a subcommand: its options."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from shlex import join

import click

from pysniff.cli.display_filter import display_filter, hint_for_capture
from pysniff.cli.export import Outputs, check_outputs, output_option
from pysniff.cli.options import (
    STORAGE_LIMIT,
    Seconds,
    Size,
    SniffOptions,
    Web,
    capture_filter,
    check,
    decode_as,
    protocols,
)
from pysniff.cli.showing import (
    STORE_SECRETS,
    count_option,
    dissection_options,
    look_options,
    mode_of,
    tracing_options,
)
from pysniff.errors import FilterError, OptionError

EXAMPLES = """\b
Examples:
  pysniff -i lo                          calls on the loopback interface, as they happen
  pysniff tcp port 8080                  every interface, with a capture filter
  pysniff -r shop.pcap                   calls in a file
  pysniff -r shop.pcap -vv               with heads and bodies
  pysniff -r shop.pcap --json | jq .     one JSON object a line
  pysniff -r a.pcap -r b.pcap.gz         two files, merged by time
  pysniff -r shop.pcap -Y 'http && status_code >= 400'
                                         what a display filter lets through
  tcpdump -w - | pysniff -r -            packets from standard input
  pysniff -i lo -q -w calls.pcapng       raw packets into a file
  pysniff -r shop.pcap -o har shop.har   calls into a file that browsers open
  pysniff --web                          every interface, on a page in the browser
  pysniff -r shop.pcap --web             a file, on the same page
"""
_CAPTURES = (".pcap", ".pcapng", ".cap", ".pcap.gz", ".pcapng.gz", ".pcap.zst", ".pcapng.zst")


@click.command(
    "sniff",
    short_help="Show API calls, live or from files; what `pysniff` does alone.",
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "-i",
    "--interface",
    "interfaces",
    multiple=True,
    metavar="NAME",
    help="Capture live here; repeatable, `any` too. Without -i and -r: on every interface.",
)
@click.option(
    "--netns",
    multiple=True,
    metavar="NAME",
    help="Capture in this network namespace: a name, a path, a process number, or `all`; repeatable.",
)
@click.option("-D", "--list-interfaces", is_flag=True, help="List the interfaces and exit.")
@click.option(
    "-r",
    "--read",
    "files",
    multiple=True,
    metavar="FILE",
    help="Read pcap or pcapng, plain, gzip or zstd; - is standard input. Several are merged by time.",
)
@click.option("--follow", is_flag=True, help="Keep reading a file that grows.")
@click.option(
    "-f", "--capture-filter", "bpf", metavar="BPF", help="Capture filter, as of tcpdump; also as trailing words."
)
@click.option("-Y", "--filter", "kfl", metavar="KFL", help="Display filter: show the entries that match.")
@click.option(
    "-w",
    "--write",
    metavar="FILE",
    help="Write the raw packets that match the capture filter: .pcap, .pcapng,"
    " or - for pcapng to standard output, which then shows no entries.",
)
@output_option
@click.option(
    "--write-secrets",
    is_flag=True,
    help="With -w: put the secrets that decrypted into the file, which only its owner can read then.",
)
@click.option(
    "--store", metavar="DIR", help="Keep raw packets in a directory, for `pysniff query DIR`; -q only records."
)
@click.option(
    "--storage-limit",
    type=Size(),
    default=STORAGE_LIMIT,
    metavar="SIZE",
    help="Bytes that the directory never exceeds, 200MB unless told; the oldest packets go first.",
)
@click.option(
    "--store-all", is_flag=True, help="Store what nobody recognises beyond its first 64 KiB a direction, too."
)
@click.option("--store-secrets", is_flag=True, help=STORE_SECRETS)
@click.option("--web", is_flag=True, help="Show the calls on a page, served on this machine, and open a browser.")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Serve the page of --web here; 127.0.0.1:8898 unless told. Beyond this machine it wants the token.",
)
@click.option("--no-browser", is_flag=True, help="Open no browser with --web.")
@click.option("--report-to", type=int, hidden=True)
@click.option("--keys-to", type=int, hidden=True)
@look_options
@click.option("-q", "--quiet", is_flag=True, help="Show no entries, progress or hints.")
@count_option
@click.option(
    "--duration",
    type=Seconds(),
    metavar="SECONDS",
    help="Stop after a time (also 500ms, 5m, 1h): on the clock when live, in packet time when reading.",
)
@dissection_options
@tracing_options
@click.argument("words", nargs=-1, metavar="[BPF]...")
def sniff(
    interfaces: tuple[str, ...],
    netns: tuple[str, ...],
    list_interfaces: bool,
    files: tuple[str, ...],
    follow: bool,
    bpf: str | None,
    kfl: str | None,
    write: str | None,
    outputs: Outputs,
    write_secrets: bool,
    store: str | None,
    storage_limit: int,
    store_all: bool,
    store_secrets: bool,
    web: bool,
    listen: str | None,
    no_browser: bool,
    report_to: int | None,
    keys_to: int | None,
    as_json: bool,
    verbosity: int,
    quiet: bool,
    count: int | None,
    duration: float | None,
    rules: tuple[str, ...],
    proto: tuple[str, ...],
    names: str | None,
    keylog: tuple[str, ...],
    body_limit: int,
    strict: bool,
    tls: bool,
    tls_mode: str | None,
    tls_only: tuple[str, ...],
    words: tuple[str, ...],
) -> int:
    """Show the API calls on interfaces or in capture files.

    A line is a call: time, client -> server, protocol, what was asked, status, size, latency.
    """
    if list_interfaces:
        from pysniff.cli.interfaces import print_interfaces

        print_interfaces()
        return 0
    _refuse_files(words)
    options = SniffOptions(
        interfaces=interfaces,
        files=files,
        follow=follow,
        bpf=capture_filter(bpf, words),
        filter=display_filter(kfl) if kfl is not None else None,
        write=write,
        outputs=outputs,
        json=as_json,
        verbosity=verbosity,
        quiet=quiet,
        count=count,
        duration=duration,
        decode_as=decode_as(rules, protocols()) if rules else {},
        proto=proto,
        names=names,
        body_limit=body_limit,
        strict=strict,
        store=store,
        storage_limit=storage_limit,
        store_all=store_all,
        store_secrets=store_secrets,
        keys_to=keys_to,
        netns=netns,
        keylog=keylog,
        write_secrets=write_secrets,
        tls=mode_of(tls, tls_mode),
        tls_only=tls_only,
        report_to=report_to,
        web=Web(listen=listen, browser=not no_browser) if web else None,
    )
    if not web and (listen is not None or no_browser):
        raise OptionError(f"{'--listen' if listen is not None else '--no-browser'} is for --web", hint="add --web")
    check(options)
    check_outputs(outputs, reads=files, write=write, as_json=as_json)
    try:
        return _run(options)
    except FilterError as error:
        raise FilterError(error.message, hint=_meant(options.bpf, words) or error.hint) from None


def _run(options: SniffOptions) -> int:
    if options.web is not None:
        from pysniff.cli.web import show

        return show(options, options.web)
    from pysniff.cli.run import run

    return run(options)


def _meant(bpf: str, words: tuple[str, ...]) -> str:
    """What a capture filter that does not compile is perhaps instead."""
    return (hint_for_capture(bpf) if bpf else "") or _command_meant(words)


def _refuse_files(words: tuple[str, ...]) -> None:
    """Files without -r arrive as words of a capture filter; raise OptionError that says so, whoever may capture."""
    if words and all(word.endswith(_CAPTURES) or ("." in word and Path(word).is_file()) for word in words):
        raise OptionError(
            f"{words[0]}: files are read with -r",
            hint=f"pysniff {join([part for word in words for part in ('-r', word)])}",
        )


def _command_meant(words: tuple[str, ...]) -> str:
    """A misspelt subcommand arrives as a capture filter of one word."""
    parent = click.get_current_context().parent
    if len(words) != 1 or parent is None or not isinstance(parent.command, click.Group):
        return ""
    near = get_close_matches(words[0], parent.command.list_commands(parent), n=1)
    return f"did you mean pysniff {near[0]}?" if near else ""

"""`pysniff run -- CMD`: a command, and the calls that it and its children make, in plain text."""

from __future__ import annotations

import click

from pysniff.cli.display_filter import display_filter
from pysniff.cli.export import Outputs, check_outputs, output_option
from pysniff.cli.options import SniffOptions, capture_filter, check, decode_as, protocols
from pysniff.cli.showing import dissection_options, look_options, mode_of, mode_options
from pysniff.errors import OptionError

EXAMPLES = """\b
Examples:
  pysniff run -- curl https://example.org/          a command, and its calls on standard error
  pysniff run --log calls.txt -- python app.py      the calls in a file
  pysniff run --json --log calls.jsonl -- node app.js
  pysniff run -o har page.har -- curl https://example.org/
  pysniff run -w x.pcapng --write-secrets -- curl https://example.org/
                                                    packets that Wireshark decrypts, too
  pysniff run --tls -- ./go-program                 what writes no key log: asks the kernel (root)
"""


@click.command(
    "run",
    short_help="Run a command and show the calls that it makes.",
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "allow_interspersed_args": False},
)
@click.option(
    "--log",
    metavar="FILE",
    help="Write the calls there; without it they go to standard error, for the command has standard output.",
)
@click.option(
    "-i",
    "--interface",
    "interfaces",
    multiple=True,
    metavar="NAME",
    help="Capture here; repeatable. Without: on every interface.",
)
@click.option("-f", "--capture-filter", "bpf", metavar="BPF", help="Capture filter, as of tcpdump.")
@click.option("-Y", "--filter", "kfl", metavar="KFL", help="Display filter: show the entries that match.")
@click.option("-w", "--write", metavar="FILE", help="Write the command's packets: .pcap or .pcapng.")
@output_option
@click.option(
    "--write-secrets",
    is_flag=True,
    help="With -w: put the secrets that decrypted into the file, which only its owner can read then.",
)
@look_options
@click.option("-q", "--quiet", is_flag=True, help="Show no entries or hints.")
@dissection_options
@mode_options
@click.argument("words", nargs=-1, metavar="-- COMMAND [ARGUMENT]...", type=click.UNPROCESSED)
def run(
    log: str | None,
    interfaces: tuple[str, ...],
    bpf: str | None,
    kfl: str | None,
    write: str | None,
    outputs: Outputs,
    write_secrets: bool,
    as_json: bool,
    verbosity: int,
    quiet: bool,
    rules: tuple[str, ...],
    proto: tuple[str, ...],
    names: str | None,
    keylog: tuple[str, ...],
    body_limit: int,
    strict: bool,
    tls: bool,
    tls_mode: str | None,
    words: tuple[str, ...],
) -> int:
    """Run a command and show the API calls that it and its children make, TLS decrypted.

    The command gets SSLKEYLOGFILE and node's --tls-keylog; it has the terminal, its exit code is this one's.
    """
    if not words:
        raise OptionError("no command", hint="pysniff run -- curl https://example.org/")
    for target in (write, log, *(name for _, name in outputs)):
        if target == "-":
            raise OptionError("standard output is the command's", hint="name a file; without --log, calls go to stderr")
    options = SniffOptions(
        interfaces=interfaces,
        files=(),
        follow=False,
        bpf=capture_filter(bpf, ()),
        filter=display_filter(kfl) if kfl is not None else None,
        write=write,
        outputs=outputs,
        json=as_json,
        verbosity=verbosity,
        quiet=quiet,
        count=None,
        duration=None,
        decode_as=decode_as(rules, protocols()) if rules else {},
        proto=proto,
        names=names,
        body_limit=body_limit,
        strict=strict,
        keylog=keylog,
        write_secrets=write_secrets,
        tls=mode_of(tls, tls_mode),
    )
    check(options)
    check_outputs(outputs, write=write)
    from pysniff.cli.launching import launch

    return launch(options, words, log)

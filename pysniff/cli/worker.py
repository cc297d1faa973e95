"""`pysniff worker`: records what a node says, and answers hubs."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pysniff.cli.account import print_ledger
from pysniff.cli.errors import FINE, complain
from pysniff.cli.options import STORAGE_LIMIT, Size, capture_filter
from pysniff.cli.peers import File, ending, own_token, quiet_option, teller, tls_options, token_option
from pysniff.cli.showing import STORE_SECRETS, mode_of, tracing_options
from pysniff.cluster.node_name import machine
from pysniff.errors import OptionError

if TYPE_CHECKING:
    import asyncio

    from pysniff.cluster.access import Access
    from pysniff.cluster.worker.worker import Worker, WorkerOptions

PORT = 8897
EXAMPLES = """\b
Examples:
  sudo pysniff worker                                   records, and serves a hub on this machine
  sudo pysniff worker -i eth0 tcp port 8080             one interface, with a capture filter
  sudo pysniff worker --tls                             with the keys of running programs, as they make connections
  sudo pysniff worker --listen 10.0.0.7:8897            serves hubs elsewhere, which need the token
  sudo pysniff worker --hub https://hub.example:8898 --token-file token
                                                        opens no port beyond this machine, and dials the hub
"""


@click.command(
    "worker",
    short_help="Record the packets of this node, and answer hubs.",
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--store",
    type=File,
    metavar="DIR",
    help="Keep raw packets here; in the user's state folder unless told. `pysniff query DIR` reads it too.",
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
@click.option(
    "-i",
    "--interface",
    "interfaces",
    multiple=True,
    metavar="NAME",
    help="Capture here; repeatable. Every interface unless told, also those that come.",
)
@click.option(
    "--netns",
    multiple=True,
    metavar="NAME",
    help="Capture in this network namespace, a name, path or process number; repeatable; `all` for all of the node's.",
)
@click.option(
    "-f", "--capture-filter", "bpf", metavar="BPF", help="Capture filter, as of tcpdump; also as trailing words."
)
@click.option(
    "--listen",
    default=f"127.0.0.1:{PORT}",
    metavar="HOST:PORT",
    help=f"Serve hubs here; 127.0.0.1:{PORT} unless told, `no` for nowhere.",
)
@click.option(
    "--hub",
    "hubs",
    multiple=True,
    metavar="URL",
    help="Keep connected to the hub at http[s]://HOST[:PORT]; repeatable.",
)
@click.option(
    "--names",
    type=File,
    metavar="FILE",
    help="Names of addresses and networks, as in /etc/hosts or as a YAML mapping; they come before those of DNS.",
)
@click.option(
    "--keylog",
    "keylogs",
    type=File,
    multiple=True,
    metavar="FILE",
    help="Secrets that decrypt TLS, as SSLKEYLOGFILE has them; it may grow. Repeatable.",
)
@tracing_options
@click.option("--store-secrets", is_flag=True, help=STORE_SECRETS)
@click.option("--node", metavar="NAME", help="The node's name, with which ids begin; the machine's name unless told.")
@token_option
@tls_options("hubs", ("hubs", "those of --hub"))
@click.option("--hub-tls-ca", type=File, metavar="FILE", help="TLS towards --hub only: their certificates' CA (PEM).")
@click.option("-v", "--verbose", is_flag=True, help="The ledger at the end.")
@quiet_option
@click.argument("words", nargs=-1, metavar="[BPF]...")
def worker(
    store: Path | None,
    storage_limit: int,
    store_all: bool,
    interfaces: tuple[str, ...],
    netns: tuple[str, ...],
    bpf: str | None,
    listen: str,
    hubs: tuple[str, ...],
    names: Path | None,
    keylogs: tuple[Path, ...],
    tls: bool,
    tls_mode: str | None,
    tls_only: tuple[str, ...],
    store_secrets: bool,
    node: str | None,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_ca: Path | None,
    hub_tls_ca: Path | None,
    verbose: bool,
    quiet: bool,
    words: tuple[str, ...],
) -> int:
    """Record the packets of this node, and dissect them when a hub asks.

    Without any hub it records. A hub may change interfaces, capture filter and limits; that is kept over a restart.
    """
    import asyncio

    from pysniff.cluster.endpoint import endpoint
    from pysniff.cluster.state_folder import store_folder
    from pysniff.cluster.worker.capturing_words import CaptureSettings
    from pysniff.cluster.worker.configuration import Configuration
    from pysniff.cluster.worker.tracing_words import TracingSettings
    from pysniff.cluster.worker.worker import WorkerOptions

    if verbose and quiet:
        raise OptionError("-v and -q exclude each other", hint="give one of them")
    served = None if listen == "no" else endpoint(listen, PORT)
    if tls_ca is not None and tls_cert is None:
        raise OptionError("--tls-ca needs --tls-cert and --tls-key", hint="--hub-tls-ca is towards hubs alone")
    if hub_tls_ca is not None and not any(url.startswith("https:") for url in hubs):
        raise OptionError("--hub-tls-ca is for --hub", hint="give --hub https://HOST[:PORT]")
    access, where = _access(token_file, tls_cert, tls_key, tls_ca, hub_tls_ca)
    settings = CaptureSettings(
        interfaces=interfaces, netns=netns, bpf=capture_filter(bpf, words), storage_limit=storage_limit
    )
    options = WorkerOptions(
        directory=store or store_folder(os.environ),
        node=node or machine(),
        configuration=Configuration(capture=settings),
        store_all=store_all,
        listen=served,
        hubs=tuple(map(_url, hubs)),
        access=access,
        names=names,
        keylogs=keylogs,
        store_secrets=store_secrets,
        tracing=TracingSettings(mode=mode_of(tls, tls_mode) or "off", only=tls_only),
    )
    return asyncio.run(_run(options, where, verbose=verbose, quiet=quiet))


async def _run(options: WorkerOptions, where: str, *, verbose: bool, quiet: bool) -> int:
    """Until SIGINT or SIGTERM; a second one ends at once."""
    import asyncio

    from pysniff.cluster.worker.worker import Worker

    ended = ending()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that closes does not end a recording
    running = Worker(options, teller(quiet))
    starting = asyncio.create_task(running.start())
    if not await _first(starting, ended):
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return FINE
    try:
        if not quiet:
            _welcome(running, options, where)
        await ended.wait()
    finally:
        await running.close()
    if verbose:
        print_ledger(running.ledger())
    return FINE


async def _first(starting: asyncio.Task[None], ended: asyncio.Event) -> bool:
    """Whether it has started before it was to end; raise what starting raised."""
    import asyncio

    waiting = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if starting.done():
        starting.result()
    return starting.done()


def _welcome(running: Worker, options: WorkerOptions, where: str) -> None:
    from pysniff.cluster.endpoint import written

    interfaces = ", ".join(running.capture.interfaces) or "no interface yet"
    complain(f"worker {options.node} records {interfaces} into {options.directory}")
    if running.listening is not None:
        secure = " with TLS" if options.access.listen is not None else ""
        complain(f"listening for hubs on {written(*running.listening)}{secure} (the token is in {where})")
    for url in options.hubs:
        complain(f"dialling the hub at {url} (the token is in {where})")


def _access(
    token_file: Path | None, certificate: Path | None, key: Path | None, authority: Path | None, of_hubs: Path | None
) -> tuple[Access, str]:
    """Who may speak with this worker, and where the token is."""
    from pysniff.cluster.access import Access, dialling, listening

    if (certificate is None) != (key is None):
        raise OptionError("--tls-cert and --tls-key go together", hint="give both")
    token, where = own_token(token_file)
    served = None if certificate is None or key is None else listening(certificate, key, authority)
    return Access(token, served, dialling(of_hubs or authority, certificate, key)), where


def _url(text: str) -> str:
    """http[s]://HOST[:PORT], as people write it."""
    if re.fullmatch(r"https?://(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d{1,5})?/?", text, re.ASCII) is None:
        raise OptionError(f"{text!r} is no hub's URL", hint="write it as http://hub.example:8898")
    url = text.rstrip("/")
    return url if re.search(r":\d+$", url) else f"{url}:8898"

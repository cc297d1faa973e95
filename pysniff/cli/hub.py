"""`pysniff hub`: the one door for people and programs to the workers of many nodes."""

from __future__ import annotations

import socket
from pathlib import Path

import click

from pysniff.cli.errors import FINE, complain
from pysniff.cli.peers import File, hub_token, quiet_option, teller, tls_options, token_option, where
from pysniff.cluster.node_name import machine
from pysniff.errors import OptionError

PORT = 8898
WORKER_PORT = 8897
EXAMPLES = """\b
Examples:
  pysniff hub --worker node1 --worker node2          asks two workers, and serves this machine
  pysniff hub --workers-dns workers.svc:8897         every address of a name, resolved again and again
  pysniff hub --listen 10.0.0.5:8898 --tls-cert hub.pem --tls-key hub.key
                                                     serves others, who need the token
"""


@click.command(
    "hub",
    short_help="Ask workers, and serve people and programs.",
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--listen", default=f"127.0.0.1:{PORT}", metavar="HOST:PORT", help=f"Serve here; 127.0.0.1:{PORT} unless told."
)
@click.option(
    "--worker", "workers", multiple=True, metavar="HOST[:PORT]", help="Keep connected to this worker; repeatable."
)
@click.option(
    "--workers-dns", multiple=True, metavar="NAME[:PORT]", help="To a worker at each address that DNS has for a name."
)
@click.option("--name", metavar="NAME", help="What workers call this hub; the machine's name unless told.")
@token_option
@click.option("--worker-token-file", type=File, metavar="FILE", help="The token of workers, where it is another one.")
@tls_options("workers", ("who connects", "workers"))
@click.option(
    "--worker-tls-ca", type=File, metavar="FILE", help="TLS towards workers only: their certificates' CA (PEM)."
)
@click.option(
    "--allowed-host", "allowed_hosts", multiple=True, metavar="NAME", help="A name that the hub goes by; repeatable."
)
@click.option(
    "--replay-target",
    "replay_targets",
    multiple=True,
    metavar="HOST:PORT",
    help="Calls may be sent again to this address, and to no others; repeatable.",
)
@click.option("-v", "--verbose", is_flag=True, help="Tell of clients too, not only of workers.")
@quiet_option
def hub(
    listen: str,
    workers: tuple[str, ...],
    workers_dns: tuple[str, ...],
    name: str | None,
    token_file: Path | None,
    worker_token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_ca: Path | None,
    worker_tls_ca: Path | None,
    allowed_hosts: tuple[str, ...],
    replay_targets: tuple[str, ...],
    verbose: bool,
    quiet: bool,
) -> int:
    """Ask workers, merge what they say, and serve it over HTTP and WebSocket.

    Beyond this machine nothing is served without the token.
    """
    from pysniff.cli.serving import serve
    from pysniff.cluster.access import is_loopback
    from pysniff.cluster.endpoint import endpoint
    from pysniff.cluster.hub.program import HubOptions
    from pysniff.cluster.tokens import read_token

    if verbose and quiet:
        raise OptionError("-v and -q exclude each other", hint="give one of them")
    host, port = endpoint(listen, PORT)
    token, source = hub_token(token_file, host)
    options = HubOptions(
        name=name or machine(),
        listen=(host, port),
        workers=tuple(endpoint(text, WORKER_PORT) for text in workers),
        workers_dns=tuple(endpoint(text, WORKER_PORT) for text in workers_dns),
        token=token,
        worker_token=read_token(worker_token_file) if worker_token_file else token,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_ca=tls_ca,
        worker_tls_ca=worker_tls_ca,
        allowed_hosts=allowed_hosts if is_loopback(host) else (*allowed_hosts, socket.gethostname()),
        replay_targets=tuple(endpoint(text) for text in replay_targets),
        tell=teller(quiet),
        tell_more=teller(not verbose),
    )
    welcome = teller(quiet)
    serve(options, lambda url: welcome(where("hub", url, token, source)), complain)
    return FINE

"""TLS to measure: nginx with HTTP/1 and h2 over TLS 1.2 and 1.3, and h2load, which writes down its secrets."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.network import End, Network
from benchmarks.traffic import DOCUMENTS, wait_for, write_documents

# By version and protocol: both versions speak both.
PORTS = {("1.2", "http/1.1"): 8441, ("1.2", "h2"): 8442, ("1.3", "http/1.1"): 8443, ("1.3", "h2"): 8444}
CONCURRENT = 8  # streams of an HTTP/2 connection
HALF_WAY = 60
SECRETS = "keys"
HERE = Path(__file__).resolve().parent


def serve(network: Network, home: Path) -> None:
    """Start nginx at the server's end; return when it listens on all ports."""
    write_documents(home / "www")
    certify(home)
    # nginx looks for certificates where its configuration is.
    configuration = home / "nginx.conf"
    configuration.write_bytes((HERE / "nginx-tls.conf").read_bytes())
    network.start(End.SERVER, "nginx", "-p", str(home), "-c", str(configuration), "-e", "error.log")
    for port in PORTS.values():
        wait_for(network, port)


def certify(home: Path) -> None:
    """A certificate for anybody, of an elliptic curve: server.pem and server.key."""
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30")
    files = ("-keyout", "server.key", "-out", "server.pem")
    command = ("openssl", "req", "-x509", *kind, *files, "-subj", "/CN=shop.test")
    subprocess.run(command, cwd=home, check=True, capture_output=True)


def load(network: Network, home: Path, connections: int, requests: int) -> None:
    """So many requests for each version and protocol: documents, each with another query, and a large one between.

    Every connection begins the list anew.
    """
    for (_, protocol), port in PORTS.items():
        base = f"https://{End.SERVER.ipv4}:{port}"
        urls = [f"{base}/catalog/{index}.json?x={index * 7919}" for index in range(DOCUMENTS)]
        urls.insert(HALF_WAY, f"{base}/export/0.json")
        named = home / f"urls-{port}"
        named.write_text("\n".join(urls) + "\n")
        streams = 1 if protocol == "http/1.1" else CONCURRENT
        shape = (f"-n{requests}", f"-c{connections}", f"-m{streams}", f"--npn-list={protocol}", "-i", str(named))
        network.run(End.CLIENT, "env", f"SSLKEYLOGFILE={home / SECRETS}", "h2load", *shape)

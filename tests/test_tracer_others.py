"""Keys of what is not the system's OpenSSL: GnuTLS, rustls, BoringSSL without symbols, and libraries in containers."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from executable_files import program, system_library
from tracer_bed import PYTHON_CLIENT, TLS_1_3, Bed, are_all, free_port, labels, logged, seen, until

from pysniff.secrets import Secret
from pysniff.tracer.kernel_secrets import KernelSecrets
from pysniff.tracer.limits import Limits
from pysniff.tracer.traced import TracedProcess

pytestmark = [pytest.mark.needs_ebpf, pytest.mark.needs("nginx", "openssl", "curl")]

PYTHON = Path(sys.executable).name

GRPC_CLIENT = """
import sys
import grpc

certificate = open(sys.argv[2], "rb").read()
channel = grpc.secure_channel(
    f"127.0.0.1:{sys.argv[1]}", grpc.ssl_channel_credentials(certificate), [("grpc.ssl_target_name_override", "a")]
)
grpc.channel_ready_future(channel).result()
"""


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with Bed(tmp_path_factory.mktemp("tracer")) as bed:
        yield bed


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Until the block ends."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def of(name: str) -> KernelSecrets:
    """A tracer of programs of that name: the server has the same keys."""
    return KernelSecrets(Limits(names=frozenset({name})))


@pytest.mark.needs("gnutls-cli")
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_keys_of_gnutls_are_those_of_its_key_log(bed: Bed, version: str) -> None:
    keys = bed.key_log()
    priority = f"NORMAL:-VERS-ALL:+VERS-TLS{version[-3:].replace('_', '.')}"
    with of("gnutls-cli") as kernel:
        bed.run("gnutls-cli", "--insecure", "--priority", priority, "--port", str(bed.port), "127.0.0.1", keys=keys)
        expected = logged(keys)
        assert are_all(expected, version)
        assert seen(kernel, expected) == expected


@pytest.mark.parametrize("version", ["TLSv1_3"])
def test_keys_of_rustls_are_those_of_its_key_log(bed: Bed, version: str) -> None:
    keys = bed.key_log()
    deno = program("deno")
    with of("deno") as kernel:
        kernel.attachments.meet_path(str(deno))
        fetch = f"console.log(await (await fetch({bed.url!r})).text())"
        assert "fine" in bed.run(deno, "eval", "--unsafely-ignore-certificate-errors", fetch, keys=keys)
        expected = logged(keys)
        assert are_all(expected, version)
        assert seen(kernel, expected) >= {secret for secret in expected if secret.label in TLS_1_3}


def test_boringssl_without_symbols_reveals_the_keys_of_its_server(bed: Bed) -> None:
    """That of grpc writes no key log: that of openssl s_server tells what they are."""
    keys, port = bed.key_log(), free_port()
    files = ("-cert", str(bed.folder / "certificate.pem"), "-key", str(bed.folder / "key.pem"))
    server = ["openssl", "s_server", "-accept", str(port), *files, "-alpn", "h2", "-quiet", "-keylogfile", str(keys)]
    client = [sys.executable, "-c", GRPC_CLIENT, str(port), str(bed.folder / "certificate.pem")]

    def expected() -> set[Secret]:
        return {secret for secret in logged(keys) if secret.label in TLS_1_3} if keys.exists() else set()

    with running(server), of(PYTHON) as kernel:
        until(lambda: _answers(port), "s_server serves")
        with running(client):
            until(lambda: labels(expected()) == TLS_1_3, "there is a connection")
        first = min(secret.random for secret in expected())
        shaken = {secret for secret in expected() if secret.random == first}
        assert labels(shaken) == TLS_1_3
        assert seen(kernel, shaken) == shaken


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


@pytest.mark.needs("unshare")
def test_a_library_that_only_a_container_has_reveals_its_keys(bed: Bed, tmp_path: Path) -> None:
    """In a mount namespace of its own, on a file system that nobody else sees."""
    keys = bed.key_log()
    inside = tmp_path / "inside"
    inside.mkdir()
    library = system_library("libssl.so.3")
    path = str(inside / library.name)
    script = f'mount -t tmpfs none {inside} && cp {library} {inside} && LD_LIBRARY_PATH={inside} exec "$0" "$@"'
    client = [sys.executable, "-c", PYTHON_CLIENT, str(bed.port), "TLSv1_3", "1", str(keys)]
    with of(PYTHON) as kernel, running(["unshare", "-m", "sh", "-c", script, *client]) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        until(lambda: path in {one.path for one in kernel.report().processes if one.attached}, "it is probed")
        assert not list(inside.iterdir())
        process.communicate("go\n")
        assert process.returncode == 0
        expected = logged(keys)
        assert are_all(expected, "TLSv1_3")
        assert seen(kernel, expected) == expected


def test_a_library_without_keys_is_reported_with_the_reason(tmp_path: Path) -> None:
    """What doctor and the page list."""
    copy = str(shutil.copy(system_library("libssl3.so"), tmp_path))
    loading = "import ctypes, sys; ctypes.CDLL(sys.argv[1]); print('ready', flush=True); sys.stdin.read()"
    with KernelSecrets() as kernel, running([sys.executable, "-c", loading, copy]) as process:

        def reported() -> list[TracedProcess]:
            return [one for one in kernel.report().processes if one.path == copy]

        until(reported, "the library is reported")
        (one,) = reported()
        assert (one.pid, one.library, one.attached) == (process.pid, "NSS", False)
        assert "keeps its keys in a token" in one.problem

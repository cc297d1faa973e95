"""--store-secrets on the command line: what it keeps, for whom, and what makes no sense with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from certificates import Authority
from click.testing import CliRunner, Result
from tls_wire import TlsWire, get, ok

from pysniff.capture.embedding import embed
from pysniff.capture.writer import Writer
from pysniff.cli import group
from pysniff.packet import Block


def pysniff(*words: object) -> Result:
    return CliRunner().invoke(group, [str(word) for word in words])


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A connection in a file; its secrets are in `keys` beside it."""
    tls = TlsWire(tmp_path / "keys", Authority(tmp_path, "authority").issue("shop.example"))
    with Writer(str(tmp_path / "calls.pcapng")) as writer:
        for packet in [*tls.handshake(), *tls.call(get("/pay"), ok(b"paid")), *tls.farewell()]:
            writer.write(Block.of(packet))
    return tmp_path / "calls.pcapng"


@pytest.mark.parametrize("quiet", [(), ("-q",)])
def test_a_key_log_is_kept_with_the_packets_that_it_decrypts(
    tmp_path: Path, capture: Path, quiet: tuple[str, ...]
) -> None:
    words = ("-r", capture, "--keylog", tmp_path / "keys", "--store", tmp_path / "store", "--store-secrets", *quiet)
    done = pysniff(*words)
    assert done.exit_code == 0, done.output
    assert ("GET /pay" in done.output) is not bool(quiet)
    again = pysniff("query", tmp_path / "store", "http")
    assert "GET /pay" in again.output


@pytest.mark.parametrize("quiet", [(), ("-q",)])
def test_secrets_that_a_capture_brings_are_kept(tmp_path: Path, capture: Path, quiet: tuple[str, ...]) -> None:
    embed(str(capture), (tmp_path / "keys").read_bytes())
    assert pysniff("-r", capture, "--store", tmp_path / "store", "--store-secrets", *quiet).exit_code == 0
    assert "GET /pay" in pysniff("query", tmp_path / "store", "http").output


def test_without_the_option_none_is_kept_and_a_query_says_so(tmp_path: Path, capture: Path) -> None:
    done = pysniff("-r", capture, "--keylog", tmp_path / "keys", "--store", tmp_path / "store")
    assert "GET /pay" in done.output
    closed = pysniff("query", tmp_path / "store", "http")
    assert "GET /pay" not in closed.output
    assert "1 TLS connection, and no keys were kept with them" in closed.stderr
    assert "--store-secrets" in closed.stderr
    opened = pysniff("query", tmp_path / "store", "http", "--keylog", tmp_path / "keys")
    assert "GET /pay" in opened.output
    assert "no keys" not in opened.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--store-secrets",), "--store-secrets needs a store"),
        (("-q", "--store", "somewhere", "--tls"), "nothing is decrypted, nor kept for later"),
    ],
)
def test_what_would_keep_nothing_is_refused(words: tuple[str, ...], said: str) -> None:
    done = pysniff(*words)
    assert done.exit_code == 1
    assert said in done.output

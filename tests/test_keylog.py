"""Secrets out of files: key logs, also hostile ones and those that grow, and the secrets of captures."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import pytest
from packets import ng_block, ng_interface, ng_packet, ng_section

from pysniff.capture import secrets_ahead
from pysniff.capture.files import open_capture
from pysniff.errors import FileError, OptionError
from pysniff.keylogs import CaptureSecrets, KeyLogFile, key_logs
from pysniff.secrets import Secret, Secrets
from pysniff.tls import keylog
from pysniff.tls.keylog import KeyLog, parse

RANDOM = bytes(range(32))
MASTER = bytes(range(100, 148))
SECRET = Secret("CLIENT_RANDOM", RANDOM, MASTER)
LINE = b"CLIENT_RANDOM %s %s\n" % (RANDOM.hex().encode(), MASTER.hex().encode())
KEY_LOG = 0x544C534B


def numbered(number: int) -> Secret:
    return Secret("CLIENT_TRAFFIC_SECRET_0", number.to_bytes(32, "big"), bytes(32))


def line_of(secret: Secret) -> bytes:
    return keylog.write([secret])


# Lines


def test_a_line_is_label_client_random_and_secret() -> None:
    assert parse(LINE) == SECRET
    assert parse(LINE.upper().replace(b"CLIENT_RANDOM", b"CLIENT_RANDOM")) == SECRET


def test_what_is_written_is_read_again() -> None:
    secrets = [SECRET, numbered(1), numbered(2)]
    assert KeyLog().feed(keylog.write(secrets)) == secrets


def test_lines_may_end_in_crlf_and_the_last_one_without_anything() -> None:
    log = KeyLog()
    assert log.feed(LINE.replace(b"\n", b"\r\n")) == [SECRET]
    assert log.feed(LINE.rstrip()) == []
    assert log.end() == [SECRET]
    assert log.secrets == 2
    assert not log.useless


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\r\n",
        b"   \n",
        b"# SSL/TLS secrets log file\n",
        b"  # indented\n",
        LINE.replace(b"CLIENT_RANDOM", b"EXPORTER_SECRET"),
    ],
)
def test_comments_empty_lines_and_what_exporters_use_are_nothing(text: bytes) -> None:
    log = KeyLog()
    assert log.feed(text) + log.end() == []
    assert not log.useless


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"CLIENT_RANDOM\n", keylog.NO_LINE),
        (LINE.rstrip() + b" more\n", keylog.NO_LINE),
        (b"\0\xff\xfe garbage\n", keylog.NO_LINE),
        (LINE.replace(b"00", b"0g", 1), keylog.BAD_HEX),
        (LINE.replace(b"00", "\u0661\u0661".encode(), 1), keylog.BAD_HEX),
        (LINE.replace(b"00", b"0", 1), keylog.BAD_HEX),
        (LINE.replace(b"00", b"", 1), keylog.BAD_SIZE),
        (LINE.rstrip()[:-2] + b"\n", keylog.BAD_SIZE),
        (LINE.replace(b"CLIENT_RANDOM", b"CLIENT_TRAFFIC_SECRET_0").rstrip()[:-34] + b"\n", keylog.BAD_SIZE),
        (LINE.replace(b"CLIENT_RANDOM", b"ECH_SECRET"), keylog.UNKNOWN),
        (LINE.replace(b"CLIENT_RANDOM", b"client_random"), keylog.UNKNOWN),
        (b"RSA 0123456789abcdef " + MASTER.hex().encode() + b"\n", keylog.UNKNOWN),
        (b"A" * 5000 + b"\n", keylog.TOO_LONG),
    ],
)
def test_a_line_of_no_use_is_counted_and_costs_no_other(line: bytes, reason: str) -> None:
    log = KeyLog()
    assert log.feed(LINE + line + LINE) == [SECRET, SECRET]
    assert log.useless == {reason: 1}


def test_the_same_comes_out_however_the_bytes_are_cut() -> None:
    text = LINE + b"# x\r\n" + b"B" * 3000 + b"\n" + line_of(numbered(7)) + b"nonsense\n" + LINE.rstrip()
    whole = KeyLog()
    expected = whole.feed(text) + whole.end()
    for size in (1, 2, 7, 100, 1024, 1500, 3000):
        cut = KeyLog()
        found = [secret for at in range(0, len(text), size) for secret in cut.feed(text[at : at + size])] + cut.end()
        assert found == expected
        assert cut.useless == whole.useless


def test_a_line_without_an_end_is_not_held() -> None:
    log = KeyLog()
    for _ in range(1000):
        assert log.feed(b"C" * 10_000) == []
    assert len(log._rest) <= keylog.LONGEST_LINE
    assert log.feed(b"\n" + LINE) == [SECRET]
    assert log.useless == {keylog.TOO_LONG: 1}


def test_secrets_are_in_no_repr(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(LINE)
    source = KeyLogFile(tmp_path / "keys", follow=True)
    source.take()
    assert MASTER.hex() not in repr(source) + str(source.useless)


# Files


def test_a_key_log_is_read_whole_and_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b"".join(line_of(numbered(number)) for number in range(5000)).rstrip())
    source = KeyLogFile(path)
    assert source.complete
    assert list(source.take()) == [numbered(number) for number in range(5000)]
    assert list(source.take()) == []
    assert source.secrets == 5000


def test_a_key_log_that_grows_gives_what_was_appended(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    source = KeyLogFile(path, follow=True)
    assert not source.complete
    assert source.take() == []  # it is not there yet
    with path.open("ab", buffering=0) as file:
        file.write(LINE)
        assert source.take() == [SECRET]
        assert source.take() == []
        file.write(line_of(numbered(1))[:50])
        assert source.take() == []  # not whole
        file.write(line_of(numbered(1))[50:] + line_of(numbered(2)))
        assert source.take() == [numbered(1), numbered(2)]
    assert source.notices == []


def test_a_secret_is_found_once_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    secrets = Secrets(*key_logs(path, follow=True))
    assert secrets.find("CLIENT_RANDOM", RANDOM) is None
    assert not secrets.complete
    path.write_bytes(LINE)
    assert secrets.find("CLIENT_RANDOM", RANDOM) == (MASTER, "keylog")


def test_what_was_used_is_all_that_is_known_of_the_connections_that_needed_some(tmp_path: Path) -> None:
    handshake = Secret("SERVER_HANDSHAKE_TRAFFIC_SECRET", numbered(1).random, bytes(48))
    (tmp_path / "keys").write_bytes(keylog.write([SECRET, numbered(1), numbered(2), handshake]))
    secrets = Secrets(*key_logs(tmp_path / "keys"))
    assert secrets.used() == []
    assert secrets.find(*numbered(1)[:2]) is not None
    assert secrets.find("CLIENT_EARLY_TRAFFIC_SECRET", RANDOM) is None
    assert secrets.used() == [numbered(1), handshake]


def test_looking_at_what_has_not_changed_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys"
    path.write_bytes(LINE)
    source = KeyLogFile(path, follow=True)
    assert source.take() == [SECRET]
    monkeypatch.setattr(os, "read", lambda *_: pytest.fail("it was read"))
    for _ in range(100):
        assert source.take() == []


def test_a_look_takes_its_share_of_a_lot(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(LINE)
    source = KeyLogFile(path, follow=True)
    assert source.take() == [SECRET]
    with path.open("ab") as file:
        file.writelines(line_of(numbered(number)) for number in range(20_000))
    found: list[Secret] = []
    looks = 0
    while some := source.take():
        assert len(some) < 5000
        found += some
        looks += 1
    assert found == [numbered(number) for number in range(20_000)]
    assert looks > 5


def test_a_key_log_that_was_cut_is_read_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(LINE + LINE)
    source = KeyLogFile(path, follow=True)
    assert len(source.take()) == 2
    path.write_bytes(line_of(numbered(1)))
    assert source.take() == [numbered(1)]
    assert source.notices == [f"{path} was truncated: reading it from the start"]


def test_a_key_log_that_was_replaced_is_read_to_its_end_first(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(LINE)
    source = KeyLogFile(path, follow=True)
    assert source.take() == [SECRET]
    with path.open("ab") as file:
        file.write(line_of(numbered(1)).rstrip())
    (tmp_path / "new").write_bytes(line_of(numbered(2)))
    (tmp_path / "new").replace(path)
    assert source.take() == [numbered(1), numbered(2)]
    path.unlink()
    assert source.take() == []
    path.write_bytes(line_of(numbered(3)))
    assert source.take() == [numbered(3)]
    assert source.notices == [f"{path} was replaced: reading it from the start"]


def test_more_than_the_bound_is_not_read_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pysniff.keylogs.LARGEST", 1000)
    path = tmp_path / "keys"
    path.write_bytes(LINE * 100)
    for follow in (False, True):
        source = KeyLogFile(path, follow=follow)
        assert 0 < len(source.take()) < 8
        assert source.take() == []
        assert source.complete
        assert "the rest is not read" in source.notices[0]


def test_what_can_be_no_key_log_is_refused_with_the_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for follow in (False, True):
        with pytest.raises(FileError, match="it is a pipe, and a key log is a file"):
            KeyLogFile(tmp_path / "pipe", follow)
        with pytest.raises(FileError, match="it is a directory"):
            KeyLogFile(tmp_path, follow)
        with pytest.raises(FileError, match="no regular file"):
            KeyLogFile("/dev/null", follow)
        with pytest.raises(FileError):
            KeyLogFile("a\0b", follow)
    with pytest.raises(FileError, match="No such file"):
        KeyLogFile(tmp_path / "missing")
    with pytest.raises(OptionError, match="standard input"):
        KeyLogFile("-")


def test_a_pipe_in_the_place_of_a_key_log_that_grew_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(LINE)
    source = KeyLogFile(path, follow=True)
    assert source.take() == [SECRET]
    path.unlink()
    os.mkfifo(path)
    assert source.take() == []
    assert "it is a pipe" in source.notices[-1]
    path.unlink()
    path.write_bytes(line_of(numbered(1)))
    assert source.take() == [numbered(1)]


# Captures


def secrets_block(text: bytes, kind: int = KEY_LOG) -> bytes:
    return ng_block(10, struct.pack("<II", kind, len(text)) + text)


def capture(tmp_path: Path, *blocks: bytes, name: str = "x.pcapng") -> Path:
    path = tmp_path / name
    path.write_bytes(ng_section() + ng_interface() + b"".join(blocks))
    return path


def test_secrets_of_a_capture_are_known_before_its_packets_wherever_they_stand(tmp_path: Path) -> None:
    packet = ng_packet(b"abcd", 5)
    path = capture(tmp_path, secrets_block(LINE), packet * 3, secrets_block(line_of(numbered(1)).rstrip()))
    with open_capture(path) as file:
        source = CaptureSecrets([file])
        assert list(source.take()) == [SECRET, numbered(1)]
        assert source.complete
        assert sum(len(block) for block in file if hasattr(block, "records")) == 3
        assert list(source.take()) == []
        assert source.secrets == 2


def test_secrets_of_what_cannot_be_searched_come_as_they_are_read(tmp_path: Path) -> None:
    path = capture(tmp_path, ng_packet(b"abcd", 5), secrets_block(LINE))
    packed = tmp_path / "x.pcapng.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    with open_capture(packed) as file:
        source = CaptureSecrets([file])
        assert list(source.take()) == []
        assert source.complete
        found = [secret for _ in file for secret in source.take()]
        assert found + list(source.take()) == [SECRET]
        assert source.complete  # the file is over


def test_secrets_of_other_protocols_are_counted_and_named(tmp_path: Path) -> None:
    others = [secrets_block(b"x", kind) for kind in (0x57474B4C, 0x5353484B, 0x5353484B, 7)]
    with open_capture(capture(tmp_path, *others, secrets_block(LINE))) as file:
        source = CaptureSecrets([file])
        assert list(source.take()) == [SECRET]
        assert source.others == {"WireGuard": 1, "SSH": 2, "type 0x7": 1}


def test_a_packet_that_looks_like_secrets_brings_none(tmp_path: Path) -> None:
    fake = secrets_block(LINE)
    with open_capture(capture(tmp_path, ng_packet(fake + b"\0" * (-len(fake) % 4), 5))) as file:
        assert list(CaptureSecrets([file]).take()) == []


def test_the_search_ends_at_damage_and_at_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damage = struct.pack("<III", 6, 8, 8)
    with open_capture(capture(tmp_path, secrets_block(LINE), damage, secrets_block(LINE))) as file:
        assert len(list(CaptureSecrets([file]).take())) == 1
    monkeypatch.setattr(secrets_ahead, "SECRETS_BYTES", 600)
    with open_capture(capture(tmp_path, secrets_block(LINE) * 9)) as file:
        assert len(list(CaptureSecrets([file]).take())) == 2


def test_the_mark_is_found_where_two_pieces_meet() -> None:
    begin = ng_section() + ng_interface()
    for into in range(-12, 13, 4):
        padding = secrets_ahead._PIECE - len(begin) - 32 - 8 + into
        data = begin + ng_packet(bytes(padding), 1) + secrets_block(LINE)

        def part(offset: int, size: int, data: bytes = data) -> bytes:
            return data[offset : offset + size]

        assert secrets_ahead.secrets_ahead(part) == [(KEY_LOG, LINE)]

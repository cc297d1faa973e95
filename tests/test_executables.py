"""What TLS is in a file, and where its probes go: as other tools say, and by two ways that have to agree."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from executable_files import disassembled, extension, go_programs, program, symbols, system_library

from pysniff.tracer import labels, openssl, x86
from pysniff.tracer.elf import Elf, ElfError
from pysniff.tracer.entrances import is_cheap
from pysniff.tracer.executables import hooks_of
from pysniff.tracer.hook import Hook, Kind, Library
from pysniff.tracer.unwinding import Functions

pytestmark = pytest.mark.needs("nm", "objdump", "ldconfig")


def libssl() -> Path:
    return system_library("libssl.so.3")


def node() -> Path:
    return program("node")


def curl_cffi() -> Path:
    return extension("curl_cffi", "_wrapper.abi3.so")


def grpc() -> Path:
    return extension("grpc", "cygrpc*.so")


def cryptography() -> Path:
    return extension("cryptography", "_rust.abi3.so")


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return go_programs(tmp_path_factory.mktemp("go"))


def only(path: Path) -> Library:
    (library,) = hooks_of(path)
    return library


def hook(library: Library, kind: Kind) -> Hook:
    (found,) = [hook for hook in library.hooks if hook.kind is kind]
    return found


def address(path: Path, offset: int) -> int:
    with Elf(path) as elf:
        return next(s.address + offset - s.offset for s in elf.segments if s.offset <= offset < s.offset + s.size)


@pytest.mark.parametrize(
    ("file", "name", "found_by"),
    [
        (libssl, "OpenSSL", "labels"),
        (node, "OpenSSL", "symbol"),
        (cryptography, "OpenSSL", "symbol"),
        (curl_cffi, "BoringSSL", "symbol"),
        (grpc, "BoringSSL", "labels"),
    ],
)
def test_key_probes_are_found(file: Callable[[], Path], name: str, found_by: str) -> None:
    library = only(file())
    assert (library.name, library.problem) == (name, "")
    keys = hook(library, Kind.LOG_SECRET)
    assert (keys.function, keys.found_by) == ("ssl_log_secret", found_by)
    assert keys.client_random


@pytest.mark.parametrize("file", [node, cryptography, curl_cffi])
def test_labels_lead_to_the_function_that_the_symbol_names(file: Callable[[], Path]) -> None:
    path = file()
    names = [name for name in symbols(path) if name == "ssl_log_secret" or name.startswith("_ZN4bssl14ssl_log_secretE")]
    with Elf(path) as elf:
        found = labels.writer(elf, Functions(elf))
    assert found
    assert found.address == symbols(path)[names[0]]


@pytest.mark.parametrize("file", [libssl, node, curl_cffi])
def test_client_random_lies_where_both_its_getter_and_the_key_log_read_it(file: Callable[[], Path]) -> None:
    with Elf(file()) as elf:
        functions = Functions(elf)
        found = labels.writer(elf, functions)
        assert found
        told = openssl.client_random(elf, elf.symbols(openssl.SYMBOLS), functions)
        assert told == openssl.random_in_use(elf, found.address, found.size)
        assert told


def test_plain_text_is_probed_where_exported_functions_are() -> None:
    path = node()
    library = only(path)
    for kind in (Kind.SSL_READ, Kind.SSL_WRITE, Kind.SSL_READ_EX, Kind.SSL_WRITE_EX, Kind.BIO_READ, Kind.BIO_WRITE):
        assert address(path, hook(library, kind).offset) == symbols(path)[kind.value]


@pytest.mark.parametrize(
    ("name", "kind", "outer"),
    [
        ("libssl.so.3", Kind.SSL_READ_EX, "SSL_read"),
        ("libssl.so.3", Kind.SSL_WRITE_EX, "SSL_write"),
        ("libcrypto.so.3", Kind.BIO_READ_EX, "BIO_read"),
        ("libcrypto.so.3", Kind.BIO_WRITE, "BIO_write"),
    ],
)
def test_an_inner_function_is_one_that_both_exported_ones_call(name: str, kind: Kind, outer: str) -> None:
    path = system_library(name)
    found = hook(only(path), kind)
    if found.found_by == "symbol":
        pytest.skip(f"{outer} of this {name} begins with what the kernel does itself, or has no inner function")
    for exported in (outer, f"{outer}_ex"):
        start = symbols(path)[exported]
        calls = [text for _, text in disassembled(path, start, start + 64) if text.startswith("call")]
        assert calls[0].split()[1] == f"{address(path, found.offset):x}"


@pytest.mark.parametrize("file", [libssl, node, cryptography, curl_cffi, grpc])
def test_key_probes_replace_what_the_kernel_does_itself(file: Callable[[], Path]) -> None:
    path = file()
    offset = hook(only(path), Kind.LOG_SECRET).offset
    instruction = x86.decode(path.read_bytes()[offset : offset + 16], 0, 0)
    assert instruction
    assert is_cheap(instruction)


@pytest.mark.parametrize("stripped", [False, True])
def test_go_is_found_with_its_symbols_and_without(go: tuple[Path, Path], stripped: bool) -> None:
    whole = go[0]
    library = only(go[stripped])
    assert library.name == "Go crypto/tls"
    assert library.version.startswith("1.")
    assert not library.problem
    names = {Kind.GO_READ: "Read", Kind.GO_WRITE: "Write", Kind.GO_CLOSE: "Close"}
    for kind, name in names.items():
        found = hook(library, kind)
        assert found.found_by == ".gopclntab"
        assert address(go[stripped], found.offset) == symbols(whole)[f"crypto/tls.(*Conn).{name}"]
    start = symbols(whole)["crypto/tls.(*Config).writeKeyLog"]
    keys = address(go[stripped], hook(library, Kind.GO_WRITE_KEY_LOG).offset)
    begins = [(at, text) for at, text in disassembled(whole, start, start + 32) if at <= keys]
    assert begins[-1][0] == keys
    assert begins[-1][1].startswith("jbe")
    assert len(begins) <= 3


@pytest.mark.parametrize("kind", [Kind.GO_READ, Kind.GO_WRITE])
def test_every_return_of_a_go_function_is_known(go: tuple[Path, Path], kind: Kind) -> None:
    whole = go[0]
    found = hook(only(whole), kind)
    start = address(whole, found.offset)
    following = min(at for at in symbols(whole).values() if at > start)
    returns = [at for at, text in disassembled(whole, start, following) if text.split()[0] == "ret"]
    assert [address(whole, place) for place in found.returns] == returns


def test_gnutls_has_a_key_probe() -> None:
    library = only(system_library("libgnutls.so.30"))
    assert library.name == "GnuTLS"
    keys = hook(library, Kind.LOG_SECRET)
    assert keys.found_by == "labels"
    assert len(keys.client_random) == 1


def test_libcrypto_has_what_tls_in_memory_reads_and_writes_through() -> None:
    library = only(system_library("libcrypto.so.3"))
    assert library.name == "libcrypto"
    assert len(library.hooks) == 2
    assert {hook.kind for hook in library.hooks} <= {Kind.BIO_READ, Kind.BIO_READ_EX, Kind.BIO_WRITE}


def test_rustls_is_probed_where_a_program_has_its_key_log() -> None:
    library = only(program("deno"))
    assert (library.name, library.problem) == ("rustls", "")
    assert hook(library, Kind.RUSTLS_LOG).function == "rustls::KeyLogFile::log"


def test_rustls_without_a_key_log_is_told_with_a_reason() -> None:
    library = only(extension("jsonschema_rs", "*.so"))
    assert (library.name, library.hooks) == ("rustls", ())
    assert "SSLKEYLOGFILE" in library.problem


def test_nss_is_told_with_a_reason() -> None:
    library = only(system_library("libssl3.so"))
    assert (library.name, library.hooks) == ("NSS", ())
    assert "SSLKEYLOGFILE" in library.problem


@pytest.mark.parametrize("name", ["libc.so.6", "libz.so.1", "libgnutls-openssl.so.27"])
def test_files_without_tls_of_their_own_have_nothing(name: str) -> None:
    assert hooks_of(system_library(name)) == ()


def test_a_file_for_another_processor_is_told_with_its_name(tmp_path: Path) -> None:
    content = bytearray(libssl().read_bytes())
    content[18:20] = struct.pack("<H", 183)
    (tmp_path / "libssl.so").write_bytes(content)
    assert only(tmp_path / "libssl.so").problem == "made for arm64: only x86-64 is read as yet"


def test_a_file_of_32_bits_is_told(tmp_path: Path) -> None:
    (tmp_path / "libssl.so").write_bytes(b"\x7fELF\x01\x01".ljust(64, b"\0") + b"CLIENT_HANDSHAKE_TRAFFIC_SECRET\0")
    assert "32 bits" in only(tmp_path / "libssl.so").problem


def test_libressl_is_told_with_a_reason(tmp_path: Path) -> None:
    """There is none to be had on these machines: this is a libssl without the labels, which LibreSSL's has not."""
    content = libssl().read_bytes()
    for label in labels.LABELS:
        content = content.replace(label, b"-" * len(label))
    (tmp_path / "libssl.so").write_bytes(content)
    library = only(tmp_path / "libssl.so")
    assert library.name == "LibreSSL"
    assert "no key log" in library.problem
    assert {Kind.SSL_FREE} < {hook.kind for hook in library.hooks}


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "libssl.so"
    shutil.copy(libssl(), path)
    assert only(path).name == "OpenSSL"
    path.write_bytes(b"nothing")
    assert hooks_of(path) == ()


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "empty").touch()
    (tmp_path / "script").write_text("#!/bin/sh\n")
    assert [hooks_of(tmp_path / name) for name in ("fifo", "empty", "script")] == [(), (), ()]
    with pytest.raises(FileNotFoundError):
        hooks_of(tmp_path / "missing")


def test_a_file_that_is_cut_while_it_is_read_costs_itself_only(tmp_path: Path) -> None:
    path = tmp_path / "libssl.so"
    shutil.copy(libssl(), path)
    with Elf(path) as elf:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
        os.truncate(path, 4096)
        with pytest.raises(ElfError):
            labels.has_labels(elf)


def _cut(content: bytearray, dice: random.Random) -> None:
    del content[dice.randrange(len(content)) :]


def _headers(content: bytearray, dice: random.Random) -> None:
    """Offsets, sizes and counts: of the file, the segments and the sections."""
    sections = struct.unpack_from("<Q", content, 40)[0]
    for _ in range(dice.randint(1, 12)):
        start, end = dice.choice([(16, 64), (64, 64 + 12 * 56), (sections, len(content))])
        place = dice.randrange(start, end)
        size = min(dice.choice([1, 2, 4, 8]), len(content) - place)
        content[place : place + size] = dice.choice([b"\0" * 8, b"\xff" * 8, dice.randbytes(8)])[:size]


def _anywhere(content: bytearray, dice: random.Random) -> None:
    for _ in range(dice.randint(1, 2_000)):
        content[dice.randrange(len(content))] = dice.randrange(256)


def _code(content: bytearray, dice: random.Random) -> None:
    """The functions that are followed."""
    path = libssl()
    for name in ("SSL_get_client_random", "SSL_get_server_random", "SSL_read", "SSL_free"):
        with Elf(path) as elf:
            place = elf.offset(symbols(path)[name])
        assert place
        content[place : place + 64] = dice.randbytes(64)


@pytest.mark.parametrize("damage", [_cut, _headers, _anywhere, _code])
def test_damaged_files_raise_nothing(tmp_path: Path, damage: Callable[[bytearray, random.Random], None]) -> None:
    """And what is found then is in the file."""
    whole = libssl().read_bytes()
    path = tmp_path / "libssl.so"
    for seed in range(40):
        content = bytearray(whole)
        damage(content, random.Random(seed))
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        for library in hooks_of(path):
            assert all(0 <= hook.offset < len(content) for hook in library.hooks)


def test_damaged_go_programs_raise_nothing(go: tuple[Path, Path], tmp_path: Path) -> None:
    whole = go[1].read_bytes()
    with Elf(go[1]) as elf:
        table = elf.sections[".gopclntab"]
    path = tmp_path / "program"
    for seed in range(25):
        dice = random.Random(seed)
        content = bytearray(whole)
        for _ in range(dice.randint(1, 8)):
            place = table.offset + dice.choice([dice.randrange(80), dice.randrange(table.size - 8)])
            content[place : place + 8] = dice.choice([b"\0" * 8, b"\xff" * 8, dice.randbytes(8)])
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        for library in hooks_of(path):
            assert all(0 <= hook.offset < len(content) for hook in library.hooks)


def test_instructions_are_as_long_as_objdump_says() -> None:
    path = libssl()
    with Elf(path) as elf:
        code = elf.sections[".text"]
        content = elf.read(code.offset, code.size)
    starts = [at for at, _ in disassembled(path, code.address, code.address + code.size)]
    wrong = []
    for at, following in itertools.pairwise(starts):
        instruction = x86.decode(content, at - code.address, code.address)
        if instruction is not None and instruction.end != following:
            wrong.append((hex(at), instruction.size))
    assert len(starts) > 50_000
    assert wrong == []

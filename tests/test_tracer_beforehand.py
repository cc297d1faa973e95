"""A command has its probes before it runs: what it will map is found as the kernel and the loader find it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from executable_files import command
from tls_shop import Shop

from pysniff.tracer.beforehand import files_of
from pysniff.tracer.elf import Elf
from pysniff.tracing import Tracing

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("SSLKEYLOG", "LD_", "NODE_"))}
AGAIN = 3


def loaded(program: Path, environment: dict[str, str]) -> dict[str, str]:
    """By name, what the loader says it would take."""
    said = subprocess.run(["ldd", str(program)], env=environment, capture_output=True, text=True, check=True).stdout
    return dict(re.findall(r"^\s*(\S+) => (/\S+) \(", said, re.MULTILINE))


def executable(path: Path, text: str = "") -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def own_curl(folder: Path) -> tuple[Path, Path, dict[str, str]]:
    """A copy of curl, a copy of its libssl, and what makes it load that."""
    curl = command("curl")
    library = loaded(curl, ENVIRONMENT).get("libssl.so.3")
    if library is None:
        pytest.skip("needs a curl with a shared OpenSSL 3")
    folder.mkdir(exist_ok=True)
    copies = Path(shutil.copy(curl, folder / "own")), Path(shutil.copy(library, folder / "libssl.so.3"))
    return *copies, {**ENVIRONMENT, "LD_LIBRARY_PATH": str(folder)}


@pytest.mark.needs("ldd")
@pytest.mark.parametrize("name", ["curl", "node", "openssl"])
def test_all_that_the_loader_takes_is_found(name: str) -> None:
    program = command(name)
    with Elf(program.resolve()):
        pass
    found = {os.path.realpath(file) for file in files_of([str(program)], ENVIRONMENT)}
    assert program.resolve().as_posix() in found
    assert {os.path.realpath(file) for file in loaded(program, ENVIRONMENT).values()} <= found


@pytest.mark.needs("ldd", "curl")
def test_a_library_that_is_put_before_others_is_found(tmp_path: Path) -> None:
    curl, library, environment = own_curl(tmp_path / "one")
    assert loaded(curl, environment)["libssl.so.3"] == str(library)
    found = [*files_of([str(curl)], environment)]
    assert found[0] == str(curl)
    assert str(library) in found
    assert not {file for file in found if Path(file).name == "libssl.so.3"} - {str(library)}


@pytest.mark.needs("ldd", "curl")
def test_libraries_of_tls_beside_a_program_are_found(tmp_path: Path) -> None:
    """They may be loaded by name later on."""
    _, library, _ = own_curl(tmp_path / "lib")
    (tmp_path / "bin").mkdir()
    program = executable(tmp_path / "bin" / "program", "no executable")
    assert str(library) in {os.path.realpath(file) for file in files_of([str(program)], ENVIRONMENT)}


def test_scripts_lead_to_who_reads_them(tmp_path: Path) -> None:
    reader = executable(tmp_path / "reader", "#!/bin/sh\n")
    environment = {**ENVIRONMENT, "PATH": f"{tmp_path}:{ENVIRONMENT['PATH']}"}
    for line in (f"#!{reader} -x", "#!/usr/bin/env reader", "#!/usr/bin/env -S A=b reader -x"):
        script = executable(tmp_path / "script", f"{line}\nhello\n")
        found = [*files_of(["script", "-v"], environment)]
        assert found[0] == str(script)
        assert str(reader) in found
        assert os.path.realpath("/bin/sh") in found
    executable(tmp_path / "script", f"#!{tmp_path}/script\n")
    assert [*files_of(["script"], environment)] == [str(tmp_path / "script")]


def test_a_command_that_another_one_runs_is_found(tmp_path: Path) -> None:
    program = executable(tmp_path / "program")
    environment = {**ENVIRONMENT, "PATH": f"{tmp_path}:{ENVIRONMENT['PATH']}"}
    words = ["env", f"PATH={tmp_path}", "program"]
    assert str(program) in [*files_of(words, ENVIRONMENT)]
    for words in (["env", "A=b", "program"], ["sh", "-c", "sleep 0; program -x"], ["timeout", "5", str(program)]):
        assert str(program) in [*files_of(words, environment)]


@pytest.mark.parametrize("words", [["/nothing/here"], [""], ["program", " ", "-", "x" * 5000]])
def test_what_cannot_be_run_has_no_files(words: list[str]) -> None:
    assert [*files_of(words, {"PATH": "/nothing"})] == []


@pytest.mark.needs_ebpf
@pytest.mark.needs("ldd", "curl")
def test_probes_are_there_before_it_runs(tmp_path: Path) -> None:
    curl, library, environment = own_curl(tmp_path / "one")
    with Tracing(only=["own"]) as tracing:
        tracing.meet([str(curl)], environment)
        assert tracing.secrets is not None
        probed = {file.path for file in tracing.secrets.attachments.files() if file.probes}
    assert str(library) in probed


@pytest.mark.needs_ebpf
@pytest.mark.needs("ldd", "curl")
def test_a_name_that_is_asked_for_is_met_before_anybody_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, library, environment = own_curl(tmp_path / "one")
    monkeypatch.setenv("PATH", f"{tmp_path / 'one'}:{environment['PATH']}")
    monkeypatch.setenv("LD_LIBRARY_PATH", environment["LD_LIBRARY_PATH"])
    with Tracing(only=["own"]) as tracing:
        assert tracing.secrets is not None
        assert str(library) in {file.path for file in tracing.secrets.attachments.files() if file.probes}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with Shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.mark.needs_ebpf
@pytest.mark.needs("ldd", "curl", "env")
@pytest.mark.parametrize("number", range(AGAIN))
def test_the_first_call_of_what_was_never_met_is_read(shop: Shop, tmp_path: Path, number: int) -> None:
    """Another file each time, so that nobody has met it."""
    curl, _, environment = own_curl(tmp_path / str(number))
    library = f"LD_LIBRARY_PATH={environment['LD_LIBRARY_PATH']}"  # of curl alone: this Python would load it, too
    url = f"https://127.0.0.1:{shop.port}/{number}"
    ask = ["env", "-u", "SSLKEYLOGFILE", library, str(curl), "-sk", url, "-o", "/dev/null"]
    log = tmp_path / "log"
    sniff = [sys.executable, "-m", "pysniff", "run", "--tls", "--json", "--log", str(log), "--", *ask]
    subprocess.run(sniff, env=ENVIRONMENT, check=True, capture_output=True, timeout=120)
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    (call,) = [entry for entry in entries if entry["protocol"] == "http"]
    assert call["request"]["path"] == f"/{number}"
    assert call["tls"]["key_source"] == "kernel"

"""What `pysniff doctor` says of TLS: each thing that is missing by its name, what still works, and each program."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Thread

import pytest
from tls_shop import Shop

from pysniff.cli import tls_checks, tls_programs
from pysniff.cli.finding import Verdict
from pysniff.errors import PrivilegeError
from pysniff.tracer.privileges import Finding, Needed
from pysniff.tracer.traced import TracedProcess, TracerReport

FINE = Finding("bpf", Needed.KEYS)


@dataclass
class Report:
    processes: tuple[TracedProcess, ...]
    files: int = 1
    unowned: int = 0
    problems: tuple[str, ...] = ()


@dataclass
class Secrets:
    """Stands in for KernelSecrets."""

    processes: list[TracedProcess] = field(default_factory=list)
    problems: tuple[str, ...] = ()

    def __enter__(self) -> Secrets:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def report(self) -> Report:
        return Report(tuple(self.processes), problems=self.problems)


def process(pid: int, comm: str, *, attached: bool = True, problem: str = "", running: bool = True) -> TracedProcess:
    return TracedProcess(pid, comm, "OpenSSL 3.0", "/usr/lib/libssl.so.3", attached, problem, 0, running)


def said(monkeypatch: pytest.MonkeyPatch, findings: tuple[Finding, ...], secrets: object = None) -> list[str]:
    monkeypatch.setattr("pysniff.tracer.privileges.examine", lambda: findings)

    def made() -> object:
        if isinstance(secrets, Exception):
            raise secrets
        return secrets or Secrets()

    monkeypatch.setattr("pysniff.tracer.kernel_secrets.KernelSecrets", made)
    return [f"{one.verdict.value} {one.name}: {one.text} -> {one.remedy}" for one in tls_checks.tls_checks()]


def test_what_is_missing_is_named_with_what_still_works_and_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = Finding("bpf", Needed.KEYS, "CAP_BPF is missing", "run with sudo", "key logs (--keylog)", refused=True)
    lines = said(monkeypatch, (FINE, lacking))
    assert "no bpf: CAP_BPF is missing; still works: key logs (--keylog) -> run with sudo" in lines
    # Nothing is tried that cannot work.
    assert not any("programs" in line for line in lines)


def test_what_is_only_worse_does_not_keep_it_from_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    worse = Finding("waiting programs", Needed.BETTER, "programs cannot wait", "6.0 and later can", "most")
    lines = said(monkeypatch, (FINE, worse), Secrets([process(7, "nginx")]))
    assert any(line.startswith("-- waiting programs: programs cannot wait") for line in lines)
    assert any(line.startswith("ok kernel keys: works: bpf") for line in lines)


def test_programs_that_cannot_be_read_come_first_and_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    every = [process(pid, "nginx") for pid in range(10, 17)]
    every.append(process(99, "java", attached=False, problem="JSSE gives its keys to nobody"))
    every.append(process(5, "gone", running=False))
    lines = said(monkeypatch, (FINE,), Secrets(every, ("new programs are seen late",)))
    assert "-- probes: new programs are seen late -> " in lines
    assert "ok programs: 7 of 8 running programs with a TLS library can be read -> " in lines
    named = [line for line in lines if "libssl" in line]
    assert named == [
        "-- : java (99): OpenSSL 3.0 in /usr/lib/libssl.so.3: JSSE gives its keys to nobody -> ",
        "ok : nginx (10, 11, 12, 13 and 3 more): OpenSSL 3.0 in /usr/lib/libssl.so.3: keys can be read -> ",
    ]
    assert "SSLKEYLOGFILE" in lines[-2]
    # Nothing was captured, so there is nothing to count, and that is said.
    assert lines[-1].startswith("-- connections: were not counted -> pysniff doctor --watch")


def test_many_programs_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    every = [process(number, f"program{number:03}") for number in range(100)]
    lines = said(monkeypatch, (FINE,), Secrets(every))
    assert len([line for line in lines if "libssl" in line]) == tls_programs.MOST
    assert any("and 60 other programs" in line for line in lines)


def test_keys_and_connections_are_counted_for_each_program_while_it_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    every = [replace(process(pid, "nginx"), keys=10, with_keys=2) for pid in (10, 11)]
    every.append(replace(process(5, "uv", attached=False, problem="no way", running=False), without_keys=1_234))
    every.append(TracedProcess(6, "tunnel", "", "", False, "none was found", 0, True, 0, 1))
    watched: list[float] = []

    def report(seconds: float) -> Report:
        watched.append(seconds)
        return Report(tuple(every), unowned=1)

    monkeypatch.setattr(tls_checks, "_watched", report)
    monkeypatch.setattr("pysniff.tracer.privileges.examine", lambda: (FINE,))
    lines = [f"{one.verdict.value} {one.name}: {one.text}" for one in tls_checks.tls_checks(2.5)]
    assert watched == [2.5]
    assert "ok programs: 2 of 2 running programs with a TLS library can be read" in lines
    assert [line for line in lines if "decrypted" in line] == [
        "-- : tunnel (6): none was found; 0 keys seen, 0 connections decrypted, 1 without keys",
        "-- : uv (ended): OpenSSL 3.0 in /usr/lib/libssl.so.3: no way;"
        " 0 keys seen, 0 connections decrypted, 1,234 without keys",
        "ok : nginx (10, 11): OpenSSL 3.0 in /usr/lib/libssl.so.3: keys can be read;"
        " 20 keys seen, 4 connections decrypted, 0 without keys",
    ]
    assert lines[-1] == "-- connections: 1 connection without keys of which no process is known"


def test_a_capture_ends_with_the_programs_of_which_something_was_seen() -> None:
    every = [process(7, "idle"), replace(process(8, "curl", running=False), keys=5, with_keys=1)]
    report = TracerReport(tuple(every), 1, 5, 0, 0, 0, 0, 0, 0, 0, 2, ())
    assert [*tls_programs.counted_lines(report)] == [
        "curl (ended): OpenSSL 3.0 in /usr/lib/libssl.so.3: keys can be read;"
        " 5 keys seen, 1 connection decrypted, 0 without keys",
        "2 connections without keys of which no process is known",
    ]
    many = [replace(process(number, f"program{number:03}"), keys=1) for number in range(100)]
    lines = [*tls_programs.counted_lines(replace(report, processes=tuple(many), unowned=0))]
    assert len(lines) == tls_programs.MOST + 1
    assert lines[-1] == "and 60 other programs"


def test_what_fails_as_the_probes_are_placed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = said(monkeypatch, (FINE,), PrivilegeError("keys cannot be read: no", hint="do that"))
    assert "no probes: keys cannot be read: no -> do that" in lines


@pytest.mark.needs_ebpf
def test_this_very_program_is_found() -> None:
    assert ssl.OPENSSL_VERSION  # it is in this process
    checks = [*tls_checks.tls_checks()]
    assert not [check for check in checks if check.verdict is Verdict.BAD]
    assert any(check.verdict is Verdict.FINE and "keys can be read" in check.text for check in checks)


@pytest.fixture
def name() -> Iterator[str]:
    """Of this process, for a while: others are called python, too."""
    comm = Path("/proc/self/comm")
    before = comm.read_text()
    comm.write_text("watched")
    yield "watched"
    comm.write_text(before)


@pytest.mark.needs_ebpf
def test_watching_counts_the_connections_of_this_very_program(tmp_path: Path, name: str) -> None:
    over = Event()
    with Shop(tmp_path) as shop:

        def talk() -> None:
            while not over.is_set():
                shop.get("/")

        talking = Thread(target=talk)
        talking.start()
        try:
            checks = [*tls_checks.tls_checks(2.0)]
        finally:
            over.set()
            talking.join()
    own = [check.text for check in checks if check.text.startswith(f"{name} (")]
    assert any(re.search(r"[1-9][\d,]* keys? seen, [1-9][\d,]* connections? decrypted", text) for text in own), own

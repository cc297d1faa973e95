"""What is missing is found by trying, and named with what still works and what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pysniff.errors import CaptureError, PrivilegeError
from pysniff.tracer import privileges, uprobe
from pysniff.tracer.btf import NotFound
from pysniff.tracer.kernel_secrets import KernelSecrets
from pysniff.tracer.privileges import Needed, examine, require

# What a process with few capabilities finds, and whether it has keys.
EXAMINATION = """
import dataclasses, json
from pysniff.errors import CaptureError
from pysniff.tracer.kernel_secrets import KernelSecrets
from pysniff.tracer.privileges import examine

try:
    with KernelSecrets() as kernel:
        outcome = sum(bool(file.probes) for file in kernel.attachments.files())
except CaptureError as error:
    outcome = f"{error} [{error.exit_code}]"
found = {one.name: [one.problem, one.remedy, one.still_works] for one in examine() if not one.works}
print(json.dumps([outcome, found]))
"""
GRANT = "run with sudo, or give Python cap_bpf, cap_perfmon and cap_sys_ptrace with setcap"


def with_capabilities(*names: str) -> tuple[Any, dict[str, list[str]]]:
    """The outcome for root with only these: the number of files with probes, or the error."""
    bounds = ("--inh-caps=-all", "--bounding-set", ",".join(("-all", *(f"+{name}" for name in names))))
    return outcome_of("setpriv", *bounds)


def outcome_of(*before: str) -> tuple[Any, dict[str, list[str]]]:
    command = [*before, sys.executable, "-c", EXAMINATION]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, timeout=60)
    assert done.returncode == 0, done.stderr
    outcome, found = json.loads(done.stdout)
    return outcome, found


@pytest.mark.needs_ebpf
def test_nothing_is_missing_where_there_are_keys() -> None:
    assert [one for one in examine() if one.needed is Needed.KEYS and not one.works] == []


@pytest.mark.needs_ebpf
@pytest.mark.needs_root
@pytest.mark.needs("setpriv")
@pytest.mark.parametrize(
    ("names", "missing"), [((), "CAP_BPF"), (("bpf",), "CAP_PERFMON"), (("perfmon",), "CAP_BPF")], ids=str
)
def test_a_missing_capability_is_named_with_the_remedy(names: tuple[str, ...], missing: str) -> None:
    outcome, found = with_capabilities(*names)
    assert outcome == f"keys cannot be read out of programs: {missing} is missing ({GRANT}) [5]"
    problem, remedy, still_works = next(found[name] for name in ("bpf", "programs") if name in found)
    assert (problem, remedy) == (f"{missing} is missing", GRANT)
    assert "--keylog" in still_works


@pytest.mark.needs_ebpf
@pytest.mark.needs_root
@pytest.mark.needs("setpriv", "openssl")
def test_two_capabilities_are_enough_for_what_is_installed() -> None:
    outcome, found = with_capabilities("bpf", "perfmon")
    assert outcome >= 1
    assert {name: told[2] for name, told in found.items()} == {
        "other processes": "libraries that are installed on this system"
    }


@pytest.mark.needs_ebpf
@pytest.mark.needs_root
@pytest.mark.needs("setpriv", "openssl")
def test_three_are_enough_for_everything() -> None:
    outcome, found = with_capabilities("bpf", "perfmon", "sys_ptrace")
    assert outcome >= 1
    assert found == {}


@pytest.mark.needs_ebpf
@pytest.mark.needs_root
@pytest.mark.needs("unshare")
def test_a_container_without_the_hosts_processes_is_told() -> None:
    _, found = outcome_of("unshare", "--pid", "--fork", "--mount-proc")
    problem, remedy, _ = found["other processes"]
    assert problem == "only processes of this PID namespace are seen: those of a container"
    assert "--pid=host" in remedy


def refused(number: int) -> Any:
    def attempt(*_: object, **__: object) -> None:
        raise OSError(number, "no")

    return attempt


@pytest.fixture
def capable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privileges, "_has", lambda _: True)
    monkeypatch.setattr(privileges, "_in_user_namespace", lambda: False)


def found(name: str, attempt: Any) -> privileges.Finding:
    """What is said where this try comes out so."""
    (needed,) = (one for one in privileges._TRIES if one[0] == name)
    return privileges._tried(name, needed[1], attempt, needed[3])


@pytest.mark.usefixtures("capable")
def test_a_seccomp_filter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privileges, "_field", lambda name: "2" if name == "Seccomp" else "")
    finding = found("bpf", refused(1))
    assert "seccomp" in finding.problem
    assert "--privileged" in finding.remedy


@pytest.mark.usefixtures("capable")
def test_lockdown_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(privileges, "_field", lambda _: "0")
    monkeypatch.setattr(privileges, "_LOCKDOWN", tmp_path / "lockdown")
    (tmp_path / "lockdown").write_text("none integrity [confidentiality]\n")
    assert "lockdown" in found("programs", refused(1)).problem


def test_capabilities_of_a_user_namespace_do_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(privileges, "_has", lambda _: True)
    monkeypatch.setattr(privileges, "_UID_MAP", tmp_path / "uid_map")
    (tmp_path / "uid_map").write_text("         0       1000          1\n")
    assert "user namespace" in found("bpf", refused(1)).problem


def test_a_kernel_without_a_ring_buffer_is_told_which_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = found("ring buffer", refused(22))
    assert (finding.remedy, finding.refused) == ("5.8 and later have it", False)


def test_a_kernel_without_uprobes_is_told_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "CONFIG_UPROBE_EVENTS" in found("uprobes", refused(2)).remedy


def test_a_kernel_that_does_not_tell_its_types_still_gives_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    def attempt() -> None:
        raise NotFound("/sys/kernel/btf/vmlinux: No such file or directory")

    finding = found("kernel types", attempt)
    assert finding.needed is Needed.PLAINTEXT
    assert finding.still_works.startswith("keys")


def test_paranoid_perf_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(privileges, "_has", lambda _: False)
    monkeypatch.setattr(privileges, "_PARANOID", tmp_path / "paranoid")
    (tmp_path / "paranoid").write_text("3\n")
    assert "kernel.perf_event_paranoid is 3" in found("new programs", refused(13)).problem


@pytest.mark.parametrize(("number", "kind"), [(1, PrivilegeError), (38, CaptureError)])
def test_whoever_cannot_have_keys_is_told_at_once(
    number: int, kind: type[CaptureError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pysniff.tracer.bpf.call", refused(number))
    for attempt in (require, KernelSecrets):
        with pytest.raises(CaptureError, match="keys cannot be read out of programs") as raised:
            attempt()
        assert type(raised.value) is kind
        assert raised.value.hint


def test_a_processor_that_is_not_known_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "pdp11")
    with pytest.raises(CaptureError, match="processor"):
        require()


@pytest.mark.needs_ebpf
def test_a_kernel_without_links_and_waiting_programs_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uprobe, "links_work", lambda: False)
    monkeypatch.setattr(privileges, "sleepable_works", lambda: False)
    missing = {one.name: one.remedy for one in examine() if not one.works}
    assert missing.pop("waiting programs") == "6.0 and later can"
    require()

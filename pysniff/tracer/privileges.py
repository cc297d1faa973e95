"""What this machine lets the tracer do, found by trying each; what still works without, and what to do about it."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pysniff.errors import CaptureError, PrivilegeError
from pysniff.tracer import processes
from pysniff.tracer.architecture import here
from pysniff.tracer.assembler import FRAME, R0, R1, R2, R3, Assembler, Helper
from pysniff.tracer.bpf import Map, MapType, Program, ProgramType, raw_tracepoint
from pysniff.tracer.btf import NotFound, kernel_btf
from pysniff.tracer.perf import uprobe_event_type
from pysniff.tracer.probe_program import ProbeProgram
from pysniff.tracer.ring import RingBuffer
from pysniff.tracer.task import INITIAL_PID_NAMESPACE
from pysniff.tracer.uprobe import attach, links_work, load, sleepable_works
from pysniff.tracer.watch import MappingWatch

_STATUS = Path("/proc/self/status")
_LOCKDOWN = Path("/sys/kernel/security/lockdown")
_PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
_PID_NAMESPACE = Path("/proc/self/ns/pid")
_UID_MAP = Path("/proc/self/uid_map")
# linux/capability.h
_CAPABILITIES = {"CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}
_ROOT = "run with sudo"
_GRANT = f"{_ROOT}, or give Python cap_bpf, cap_perfmon and cap_sys_ptrace with setcap"


class Needed(Enum):
    """For what."""

    KEYS = "keys"  # no key can be had without
    PLAINTEXT = "plaintext"  # keys can, plain text cannot
    BETTER = "better"  # both can, less well


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried. `problem`, `remedy` and `still_works` are "" where it works.

    `refused`: this process may not, where another may.
    """

    name: str
    needed: Needed
    problem: str = ""
    remedy: str = ""
    still_works: str = ""
    refused: bool = False

    @property
    def works(self) -> bool:
        return not self.problem


_CONTAINED = "only processes of this PID namespace are seen: those of a container"
_NO_KEYS = "key logs (--keylog, SSLKEYLOGFILE) and secrets in pcapng"


def examine() -> tuple[Finding, ...]:
    """Every try, in the order in which one needs another."""
    return tuple(_tried(*one) for one in _TRIES)


def require() -> None:
    """Raise PrivilegeError or CaptureError where no key can be had, with what is missing."""
    for one in _TRIES:
        finding = _tried(*one)
        if finding.problem and finding.needed is Needed.KEYS:
            kind = PrivilegeError if finding.refused else CaptureError
            raise kind(f"keys cannot be read out of programs: {finding.problem}", hint=finding.remedy)


def _tried(name: str, needed: Needed, attempt: Callable[[], object], still_works: str) -> Finding:
    try:
        attempt()
    except NotFound as error:
        remedy = "a kernel with CONFIG_DEBUG_INFO_BTF has them; nothing else is missing"
        return Finding(name, needed, str(error), remedy, still_works)
    except OSError as error:
        problem, remedy = _explained(name, error)
        return Finding(name, needed, problem, remedy, still_works, error.errno in (errno.EPERM, errno.EACCES))
    return Finding(name, needed)


def _explained(name: str, error: OSError) -> tuple[str, str]:
    """What is wrong and what to do."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return _refused(name)
    if name == "other processes":
        return _CONTAINED, "share the host's: --pid=host, or hostPID: true"
    if name == "processor":
        return str(error.strerror), "x86-64 is supported, arm64 untested"
    if error.errno == errno.ENOSYS:
        return "the kernel has no such system call", "use a kernel with CONFIG_BPF_SYSCALL and CONFIG_PERF_EVENTS"
    if name == "ring buffer" and error.errno == errno.EINVAL:
        return f"the kernel has no BPF ring buffer ({os.uname().release})", "5.8 and later have it"
    if name == "uprobes" and isinstance(error, FileNotFoundError):
        if not Path("/sys/bus/event_source").exists():
            return "/sys is not mounted here", "mount sysfs; in a container, add /sys"
        return "the kernel has no uprobes", "use a kernel with CONFIG_UPROBE_EVENTS"
    if name == "sockets":
        return f"the kernel has no tracepoint sock_send_length ({os.uname().release})", "6.3 and later have it"
    if name == "waiting programs":
        return f"programs cannot wait for memory ({os.uname().release})", "6.0 and later can"
    if name == "kernel memory":
        return "programs may not read the kernel's memory", _lockdown() or "lockdown is off, so nothing is known"
    return f"{error.strerror or error}", "this is unexpected: please report it with the output of pysniff doctor"


def _refused(name: str) -> tuple[str, str]:
    """Why this process may not."""
    if name == "other processes":
        return "the files of other processes cannot be opened: CAP_SYS_PTRACE is missing", _GRANT
    wanted = "CAP_BPF" if name in ("bpf", "ring buffer") or not _has("CAP_BPF") else "CAP_PERFMON"
    if name == "new programs":
        wanted = "CAP_PERFMON"
    if not (_has(wanted) or _has("CAP_SYS_ADMIN")):
        before = "" if _release() >= (5, 8) else f" (CAP_SYS_ADMIN: {os.uname().release} has no {wanted} yet)"
        paranoid = f"; kernel.perf_event_paranoid is {_read(_PARANOID)}" if name == "new programs" else ""
        return f"{wanted} is missing{before}{paranoid}", _GRANT
    if _in_user_namespace():
        return f"{wanted} counts only within this user namespace", "run outside of it (rootless containers have one)"
    if _field("Seccomp") == "2":
        return (
            "a seccomp filter forbids it, as containers have one",
            "allow bpf and perf_event_open: --privileged, or --security-opt seccomp=unconfined with the capabilities",
        )
    lockdown = _lockdown()
    if lockdown:
        return "kernel lockdown forbids it", lockdown
    return "the kernel forbids it, although the capabilities are there", "a security module may (AppArmor, SELinux)"


def _processor() -> None:
    if here() is None:
        raise OSError(errno.ENOSYS, f"probes are not known for this processor ({os.uname().machine})")


def _map() -> None:
    Map(MapType.ARRAY, key=4, value=8, entries=1).close()


def _ring() -> None:
    RingBuffer(mmap.PAGESIZE).close()


def _program() -> None:
    _reading(Helper.PROBE_READ_USER).close()


def _kernel_memory() -> None:
    _reading(Helper.PROBE_READ_KERNEL).close()


def _reading(helper: Helper) -> Program:
    """A program that reads 8 bytes; of address 0, so that it would fail."""
    code = Assembler().move(R1, FRAME).add(R1, -8).move(R2, 8).move(R3, 0).call(helper).move(R0, 0).exit().code()
    return Program(ProgramType.KPROBE, code, name="pysniff_try")


def _uprobes() -> None:
    """As links, or as perf events, which /sys has the number of."""
    if not links_work():
        uprobe_event_type()


def _probe() -> None:
    """On a file of our own, which nobody runs."""
    with tempfile.TemporaryFile() as file, _loaded() as program:
        file.write(b"\xc3" * mmap.PAGESIZE)
        file.flush()
        for probe in attach(f"/proc/self/fd/{file.fileno()}", [64], program):
            probe.close()


def _loaded() -> Program:
    architecture = here()
    if architecture is None:
        raise OSError(errno.ENOSYS, "not for this processor")
    return load(ProbeProgram(architecture).leave(), "pysniff_try")


def _types() -> None:
    kernel_btf()


def _watch() -> None:
    MappingWatch().close()


def _sockets() -> None:
    """Where the kernel says how much was sent."""
    code = Assembler().move(R0, 0).exit().code()
    with Program(ProgramType.RAW_TRACEPOINT, code, name="pysniff_try") as program:
        raw_tracepoint("sock_send_length", program).close()


def _others() -> None:
    """Look into every other process; with CAP_SYS_PTRACE those that refuse have more rights than root."""
    if _PID_NAMESPACE.stat().st_ino != INITIAL_PID_NAMESPACE:
        raise OSError(errno.ESRCH, _CONTAINED)
    for pid in processes.running():
        try:
            os.close(os.open(f"/proc/{pid}/root", os.O_PATH | os.O_CLOEXEC))
        except PermissionError:
            if not _has("CAP_SYS_PTRACE"):
                raise
        except OSError:
            continue


def _sleepable() -> None:
    _program()
    if not sleepable_works():
        raise OSError(errno.EINVAL, "not sleepable")


def _has(capability: str) -> bool:
    try:
        return bool(int(_field("CapEff"), 16) >> _CAPABILITIES[capability] & 1)
    except ValueError:
        return os.geteuid() == 0


def _field(name: str) -> str:
    """Of /proc/self/status; "" where there is none."""
    for line in _read(_STATUS).splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    return ""


def _in_user_namespace() -> bool:
    return _read(_UID_MAP).split() not in ([], ["0", "0", "4294967295"])


def _lockdown() -> str:
    """What to do about it; "" where it is off."""
    if "[confidentiality]" in _read(_LOCKDOWN) or "[integrity]" in _read(_LOCKDOWN):
        return "boot without lockdown=, or without Secure Boot"
    return ""


def _release() -> tuple[int, int]:
    major, _, rest = os.uname().release.partition(".")
    minor = rest.partition(".")[0]
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


def _read(path: Path) -> str:
    """ "" where it cannot be."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


_TRIES: tuple[tuple[str, Needed, Callable[[], object], str], ...] = (
    ("processor", Needed.KEYS, _processor, _NO_KEYS),
    ("bpf", Needed.KEYS, _map, _NO_KEYS),
    ("ring buffer", Needed.KEYS, _ring, _NO_KEYS),
    ("programs", Needed.KEYS, _program, _NO_KEYS),
    ("uprobes", Needed.KEYS, _uprobes, _NO_KEYS),
    ("probe", Needed.KEYS, _probe, _NO_KEYS),
    ("new programs", Needed.BETTER, _watch, "programs that run, or whose library is installed or in use"),
    ("other processes", Needed.BETTER, _others, "libraries that are installed on this system"),
    ("kernel types", Needed.PLAINTEXT, _types, "keys; a process is called by the name of its thread"),
    ("kernel memory", Needed.PLAINTEXT, _kernel_memory, "keys; a process is called by the name of its thread"),
    ("sockets", Needed.PLAINTEXT, _sockets, "keys"),
    ("waiting programs", Needed.BETTER, _sleepable, "keys, perhaps without the first of a program that just started"),
)

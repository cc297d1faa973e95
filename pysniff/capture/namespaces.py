"""Network namespaces: found by name, path or process, and entered by a thread that ends there.

A socket stays in the namespace where it was opened, and keeps it alive: who looks away from one that others gave up
must close what it has there.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from threading import Thread
from typing import Generic, NamedTuple, TypeVar

from pysniff.errors import CaptureError, PrivilegeError

NAMED = Path("/run/netns")  # where `ip netns add` and container runtimes mount them
_PROCESSES = Path("/proc")
ALL = "all"
# Namespaces of one node that are looked into; a machine has a few for each of its containers.
MOST = 1_024
_CLONE_NEWNET = 0x40000000
_PRIVILEGE = "run with sudo, or give Python cap_sys_admin and cap_net_raw with setcap"

T = TypeVar("T")
Identity = tuple[int, int]  # device and inode: the same for every way to the same namespace


class Found(NamedTuple):
    """A namespace that is there. `label`: how people know it."""

    identity: Identity
    label: str
    path: str


class Namespace:
    """An open one; `fd` -1 is that of this process, in which nothing needs to be entered."""

    def __init__(self, label: str = "", fd: int = -1) -> None:
        self.label = label
        self._fd = fd

    def run(self, call: Callable[[], T]) -> T:
        """What `call` returns, or raises, there: in a thread of its own, since a thread that entered stays inside."""
        if self._fd < 0:
            return call()
        return _Inside(self._fd, self.label, call).result()

    def shown(self, interface: str) -> str:
        """The name of an interface as captures tell it. The kernel allows no slash in it."""
        return f"{self.label}/{interface}" if self.label else interface

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _Inside(Generic[T]):
    def __init__(self, fd: int, label: str, call: Callable[[], T]) -> None:
        self._fd, self._label, self._call = fd, label, call
        self._result: list[T] = []
        self._problem: BaseException | None = None

    def result(self) -> T:
        thread = Thread(target=self._enter, name="pysniff netns")
        thread.start()
        thread.join()
        if self._problem is not None:
            raise self._problem
        return self._result[0]

    def _enter(self) -> None:
        try:
            _setns(self._fd, self._label)
            self._result.append(self._call())
        except BaseException as problem:  # for the thread that waits
            self._problem = problem


def _setns(fd: int, label: str) -> None:
    try:
        if sys.version_info >= (3, 12):
            os.setns(fd, _CLONE_NEWNET)
        else:
            library = ctypes.CDLL(None, use_errno=True)
            if library.setns(fd, _CLONE_NEWNET):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
    except PermissionError:
        raise PrivilegeError(f"network namespace {label}: may not be entered", hint=_PRIVILEGE) from None
    except OSError as error:
        raise CaptureError(f"network namespace {label}: {error.strerror}") from None


def supported() -> bool:
    return sys.platform == "linux" and Path("/proc/self/ns/net").exists()


def own() -> Identity:
    return _identity("/proc/self/ns/net")


def find(name: str) -> Found:
    """The namespace of a name, a path or a process number; raise CaptureError or PrivilegeError."""
    if not supported():
        raise CaptureError(f"network namespace {name}: this system has none")
    path = _path_of(name)
    try:
        identity = _identity(path)
    except PermissionError:
        raise PrivilegeError(f"network namespace {name}: permission denied", hint=_PRIVILEGE) from None
    except (OSError, ValueError):
        raise _unknown(name) from None
    if identity[0] != own()[0]:  # all of them are in one file system
        raise CaptureError(f"network namespace {name}: {path} is none", hint="name one of /run/netns, or a process")
    return Found(identity, name if "/" not in name else Path(name).name, path)


def find_all() -> Iterator[Found]:
    """Every one of this machine: those that have a name, then those of processes; each once. The own one has no label.

    What may not be looked at is left out.
    """
    if not supported():
        return
    here = own()
    seen = {here}
    yield Found(here, "", "/proc/self/ns/net")
    for found in (*_named(here[0]), *_of_processes(here[0])):
        if found.identity not in seen:
            if len(seen) > MOST:
                return
            seen.add(found.identity)
            yield found


def enter(found: Found) -> Namespace:
    """Open what was found; raise CaptureError or PrivilegeError where that fails, or another one is there by now."""
    if found.identity == own() and not found.label:
        return Namespace()
    fd = -1
    try:
        # O_PATH first: whatever a path leads to, nothing happens by looking at it.
        place = os.open(found.path, os.O_PATH | os.O_CLOEXEC)
        try:
            status = os.fstat(place)
            if (status.st_dev, status.st_ino) != found.identity:
                raise CaptureError(f"network namespace {found.label}: another one is in its place")
            fd = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(place)
    except PermissionError:
        raise PrivilegeError(f"network namespace {found.label}: permission denied", hint=_PRIVILEGE) from None
    except OSError as error:
        raise CaptureError(f"network namespace {found.label}: {error.strerror}") from None
    return Namespace(found.label, fd)


def _path_of(name: str) -> str:
    if "/" in name:
        return name
    named = NAMED / name
    if name.isdecimal() and not named.exists():
        return f"{_PROCESSES}/{name}/ns/net"
    return str(named)


def _named(file_system: int) -> Iterator[Found]:
    for name in _names_in(NAMED):
        path = f"{NAMED}/{name}"
        try:
            identity = _identity(path)
        except OSError:
            continue
        if identity[0] == file_system:
            yield Found(identity, name, path)


def _of_processes(file_system: int) -> Iterator[Found]:
    """Of each process, the oldest first; many have the same."""
    for number in sorted(int(name) for name in _names_in(_PROCESSES) if name.isdecimal()):
        path = f"{_PROCESSES}/{number}/ns/net"
        try:
            # "net:[4026531840]", with the inode. There may be thousands, each second: stat() and pathlib take longer.
            link = os.readlink(path)  # noqa: PTH115
        except OSError:  # gone, or somebody else's
            continue
        inode = link.removeprefix("net:[").removesuffix("]")
        if inode.isdecimal():
            yield Found((file_system, int(inode)), f"pid-{number}", path)


def _identity(path: str) -> Identity:
    status = Path(path).stat()
    return status.st_dev, status.st_ino


def _names_in(directory: Path) -> list[str]:
    """In order; none where there is no such directory."""
    try:
        with os.scandir(directory) as found:
            return sorted(one.name for one in found)
    except OSError:
        return []


def _unknown(name: str) -> CaptureError:
    names = _names_in(NAMED)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif names:
        hint = f"there are {', '.join(names[:20])}"
    else:
        hint = "none has a name here: give a path or a process number"
    return CaptureError(f"{name}: no such network namespace", hint=hint)

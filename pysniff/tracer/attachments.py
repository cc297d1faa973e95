"""The files that have probes: each is examined once, however many processes map it, and keeps its probes until close().

A probe is on a file and not on a process: whoever maps the file later has it from the first instruction.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple, Protocol, TypeVar

from pysniff.errors import PysniffError
from pysniff.tracer.bpf import Descriptor
from pysniff.tracer.hook import Hook, Library, Mapped
from pysniff.tracer.syscalls import filesystem_type

# Files with probes, a descriptor each, of which many processes may have 1,024; each container image brings its own.
# Those that nobody maps any more go when there is no room.
MOST_FILES = 512
# Files without a TLS library that are remembered, so as not to be read again; the oldest go.
_MOST_OTHERS = 65_536
_CLOSERS = 32
_OVERLAY = 0x794C7630  # OVERLAYFS_SUPER_MAGIC
_OPENING = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class Prober(Protocol):
    """What attaches to functions."""

    def wants(self, hook: Hook) -> bool:
        """Whether it has a program for such a function."""

    def attach(self, hook: Hook, path: str, file: int) -> Sequence[Descriptor]:
        """Attach to it; `file` is the file's number. OSError; ValueError where the hook says too little."""


class Identity(NamedTuple):
    """The same for every way to a file; numbers of inodes are used again, so size and times belong to it.

    Containers of one image have the same file on overlay file systems of their own: one probe is for all of them, and
    a second would tell everything twice. `device` is 0 there.
    """

    device: int
    inode: int
    size: int
    written: int
    changed: int


def _identity(descriptor: int) -> Identity:
    status = os.fstat(descriptor)
    device = 0 if filesystem_type(descriptor) == _OVERLAY else status.st_dev
    return Identity(device, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(slots=True)
class ProbedFile:
    """A file with a TLS library. `path`: as it was met first; `problem`: why it has no probe, "" where it has one."""

    number: int
    path: str
    libraries: tuple[Library, ...]
    hooks: tuple[Hook, ...] = ()
    problem: str = ""
    probes: list[Descriptor] = field(default_factory=list, repr=False)
    # What is lost for this file although it has a probe, each in words.
    shortcomings: tuple[str, ...] = ()
    installed: bool = False

    @property
    def library(self) -> str:
        """Names and versions of what is in it."""
        return ", ".join(f"{library.name} {library.version}".rstrip() for library in self.libraries)

    def close(self) -> None:
        for probe in self.probes:
            probe.close()
        self.probes.clear()


Examine = Callable[[str], Sequence[Library]]
Open = Callable[[Mapped], int]


class Attachments:
    """`examine` tells the libraries in a file, `opened` gives a descriptor of a mapped one; both raise OSError.

    Any thread may call anything; a file is examined by one. `refused`: files for which there was no
    room, `vanished`: those that were gone, or not to be opened, before they were read.
    """

    def __init__(self, probers: Sequence[Prober], examine: Examine, opened: Open) -> None:
        self.refused = self.vanished = 0
        self._probers, self._examine, self._opened = tuple(probers), examine, opened
        self._lock, self._meeting = Lock(), Lock()
        self._files: dict[Identity, ProbedFile] = {}
        self._numbers: dict[int, ProbedFile] = {}
        self._others: dict[Identity, None] = {}
        # What the kernel calls a mapped file, to what it is: nothing has to be opened the second time.
        self._known: dict[tuple[int, int], ProbedFile] = {}
        self._uninteresting: dict[tuple[int, int, int | None], None] = {}
        self._count = 0
        self._closed = False

    def meet(self, mapped: Mapped) -> ProbedFile | None:
        """Probe the file if it has a TLS library and no probes yet; None where it has no such library."""
        known = self.known(mapped)
        # A file with a probe stays, deleted or not, and so does its number.
        if known and known.probes:
            return known
        this = (mapped.device, mapped.inode, mapped.generation)
        if this in self._uninteresting:
            return None
        try:
            descriptor = self._opened(mapped)
        except OSError as error:
            self._count_unopened(error)
            return None
        refused = self.refused
        found = self._meet(descriptor, mapped.path)
        if found:
            self._known[mapped.device, mapped.inode] = found
        elif mapped.generation and refused == self.refused:
            _remember(self._uninteresting, this)
        return found

    def meet_path(self, path: str) -> ProbedFile | None:
        """As meet(), for a file of this machine that need not be mapped by anybody."""
        try:
            descriptor = os.open(path, _OPENING)
        except OSError as error:
            self._count_unopened(error)
            return None
        found = self._meet(descriptor, path)
        if found:
            found.installed = True
        return found

    def known(self, mapped: Mapped) -> ProbedFile | None:
        """What meet() found; without looking."""
        return self._known.get((mapped.device, mapped.inode))

    def find(self, number: int) -> ProbedFile | None:
        """By the number that its probers were told."""
        return self._numbers.get(number)

    def files(self) -> list[ProbedFile]:
        """All that have a TLS library, in the order in which they were met."""
        with self._lock:
            return list(self._files.values())

    def sweep(self, mapped: Iterable[Mapped]) -> None:
        """Give up the files that none of these is, but for those that meet_path() was told of."""
        used = {found.number for one in mapped if (found := self.meet(one))}
        with self._lock:
            gone = {
                identity: file
                for identity, file in self._files.items()
                if file.number not in used and not file.installed
            }
            for identity, file in gone.items():
                del self._files[identity], self._numbers[file.number]
            self._known = {key: file for key, file in self._known.items() if file.number in self._numbers}
        _close(gone.values())

    @property
    def full(self) -> bool:
        return len(self._files) >= MOST_FILES

    def close(self) -> None:
        """Undo every probe; what is met afterwards gets none."""
        with self._lock:
            self._closed = True
            files = list(self._files.values())
            self._files.clear()
            self._known.clear()
        _close(files)

    def abandon(self) -> None:
        """Close what a forked child has of the probes; its parent keeps them. Takes no lock: nobody gives it back."""
        for file in self._files.values():
            file.close()

    def _count_unopened(self, error: OSError) -> None:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            self.refused += 1
        else:
            self.vanished += 1

    def _meet(self, descriptor: int, path: str) -> ProbedFile | None:
        """What is open under `descriptor`, which is closed here."""
        try:
            identity = _identity(descriptor)
            with self._meeting:
                if found := self._files.get(identity):
                    return found
                if identity in self._others:
                    return None
                # By descriptor: what was examined is what is probed, whatever its name leads to by then.
                return self._probe(identity, f"/proc/self/fd/{descriptor}", path)
        except OSError:
            self.vanished += 1
            return None
        finally:
            os.close(descriptor)

    def _probe(self, identity: Identity, opened: str, path: str) -> ProbedFile | None:
        libraries, problem = self._examined(opened)
        if not (problem or any(library.problem or self._wanted(library) for library in libraries)):
            _remember(self._others, identity)
            return None
        if self.full:
            self.refused += 1
            return None
        self._count += 1
        file = ProbedFile(self._count, path, libraries, problem=problem)
        self._attach(file, opened)
        with self._lock:
            closed = self._closed
            if not closed:
                self._files[identity] = self._numbers[file.number] = file
        if closed:
            file.close()
        return file

    def _wanted(self, library: Library) -> bool:
        return any(prober.wants(hook) for hook in library.hooks for prober in self._probers)

    def _examined(self, opened: str) -> tuple[tuple[Library, ...], str]:
        try:
            return tuple(self._examine(opened)), ""
        except (OSError, PysniffError):
            return (), ""
        except Exception as error:  # a file may be anything: one that nobody thought of costs itself only
            return (), f"the file could not be examined: {type(error).__name__}: {error}"

    def _attach(self, file: ProbedFile, opened: str) -> None:
        attached, problems = [], [library.problem for library in file.libraries if library.problem]
        for hook in (hook for library in file.libraries for hook in library.hooks):
            for prober in self._probers:
                if not prober.wants(hook):
                    continue
                try:
                    file.probes += prober.attach(hook, opened, file.number)
                    attached.append(hook)
                except (OSError, ValueError) as error:
                    problems.append(f"{hook.function}: {_reason(error)}")
        file.hooks = tuple(attached)
        if attached:
            file.shortcomings = tuple(problems)
        elif not file.problem:
            file.problem = "; ".join(problems)


_T = TypeVar("_T")


def _remember(others: dict[_T, None], one: _T) -> None:
    others[one] = None
    if len(others) > _MOST_OTHERS:
        del others[next(iter(others))]


def _close(files: Collection[ProbedFile]) -> None:
    """At once: the kernel takes 40 ms for each, waiting for the same as for the others."""
    if files:
        with ThreadPoolExecutor(min(len(files), _CLOSERS)) as closers:
            list(closers.map(ProbedFile.close, files))


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)

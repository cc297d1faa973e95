"""What a command will map when it runs, found before it does: programs, interpreters, and the libraries they need.

As execve(2) and ld.so(8) look for them. What a program loads later by a name of its own is found only where libraries
of TLS usually are: in LD_LIBRARY_PATH, and beside the program.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from shutil import which

from pysniff.tracer.elf import Elf, ElfError
from pysniff.tracer.installed import FOLDERS, cached, is_tls

# Files of one command: a browser needs 150 libraries.
_MOST = 512
# Words of a command that may name another one: `env A=b timeout 5 curl`, `sh -c "curl x"`.
_WORDS = 32
_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LD_PRELOAD")
# Interpreters of interpreters, as Linux follows them.
_SCRIPTS = 5
_FIRST_LINE = 256
_DYNAMIC, _STRINGS = 1 << 16, 1 << 24
_NEEDED, _RPATH, _RUNPATH = 1, 15, 29
# Folders beside the one of a program, in which it may have libraries of its own.
_BESIDE = ("", "lib", "../lib")


def files_of(words: Sequence[str], environ: Mapping[str, str]) -> Iterator[str]:
    """Each file once, the command's own first. `environ`: what it is started with; env(1) may change it."""
    seen: set[tuple[int, int]] = set()
    changed = [word.partition("=") for word in words[1:_WORDS]]
    environ = {**environ, **{name: value for name, _, value in changed if name in _VARIABLES}}
    libraries = Libraries(environ)
    path = environ.get("PATH")
    for word in _commands(words):
        program = which(word, path=path)
        for executable in _interpreted(program, path) if program else ():
            for file in libraries.of(executable):
                with suppress(OSError):
                    status = Path(file).stat()
                    if (status.st_dev, status.st_ino) not in seen and len(seen) < _MOST:
                        seen.add((status.st_dev, status.st_ino))
                        yield file


def _commands(words: Sequence[str]) -> Iterator[str]:
    """What may be run: the first word, and those that another command runs."""
    yield words[0]
    yield from dict.fromkeys(one for word in words[1:_WORDS] for one in word.split()[:_WORDS] if one[0] not in "-/.")
    yield from (word for word in words[1:_WORDS] if "/" in word and not word.startswith("-"))


def _interpreted(program: str, path: str | None) -> Iterator[str]:
    """The program, and who reads it where it is a script."""
    for _ in range(_SCRIPTS):
        yield program
        try:
            with Path(program).open("rb") as file:
                first = file.read(_FIRST_LINE).split(b"\n")[0]
        except OSError:
            return
        words = os.fsdecode(first[2:]).split() if first.startswith(b"#!") else []
        if not words:
            return
        program = words[0]
        if Path(program).name == "env":
            yield program
            named = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
            program = which(named, path=path) or ""
        if not program:
            return


class Libraries:
    """What the loader takes for a program. `environ`: the program's."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._given = [folder for folder in environ.get("LD_LIBRARY_PATH", "").replace(";", ":").split(":") if folder]
        self._preloaded = environ.get("LD_PRELOAD", "").replace(":", " ").split()
        self._cached: dict[str, list[str]] = {}
        for found in cached():
            self._cached.setdefault(Path(found).name, []).append(found)

    def of(self, program: str) -> Iterator[str]:
        """The program, and what it needs, and what of its own it may load."""
        real = os.path.realpath(program)
        yield real
        folder = Path(real).parent
        inherited: tuple[str, ...] = ()
        waiting, seen = deque([(real, inherited)]), {real}
        for name in self._preloaded:
            waiting += [(found, ()) for found in self._found(name, (), ())]
        while waiting and len(seen) < _MOST:
            file, inherited = waiting.popleft()
            if file not in seen:
                seen.add(file)
                yield file
            needed, rpath, runpath = _dynamic(file)
            before = () if runpath else (*rpath, *inherited)
            for name in needed:
                for found in self._found(name, before, runpath):
                    if found not in seen:
                        seen.add(found)
                        yield found
                        waiting.append((found, before))
        for beside in (*map(Path, self._given), *(folder / name for name in _BESIDE)):
            yield from _of_tls(beside)

    def _found(self, name: str, before: Sequence[str], behind: Sequence[str]) -> list[str]:
        """The first one that there is; of the cache all with that name, which are for several processors."""
        if "/" in name:
            return [name] if Path(name).exists() else []
        for folder in (*before, *self._given, *behind):
            if (place := Path(folder, name)).exists():
                return [str(place)]
        if name in self._cached:
            return self._cached[name]
        return [str(place) for folder in FOLDERS if (place := Path(folder, name)).exists()][:1]


def _dynamic(path: str) -> tuple[list[str], list[str], list[str]]:
    """Of an ELF file: the libraries it needs, DT_RPATH and DT_RUNPATH; nothing of any other file."""
    try:
        with Elf(path) as elf:
            table, strings = elf.sections.get(".dynamic"), elf.sections.get(".dynstr")
            if table is None or strings is None or strings.size > _STRINGS:
                return [], [], []
            entries = struct.iter_unpack("<qQ", elf.read(table.offset, min(table.size, _DYNAMIC) // 16 * 16))
            names = elf.read(strings.offset, strings.size)
    except (OSError, ElfError):
        return [], [], []
    found: dict[int, list[str]] = {_NEEDED: [], _RPATH: [], _RUNPATH: []}
    for tag, value in entries:
        if tag in found and value < len(names):
            found[tag].append(os.fsdecode(names[value : names.find(b"\0", value)]))
    origin = str(Path(path).parent)
    folders = [
        [one.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for each in found[tag] for one in each.split(":")]
        for tag in (_RPATH, _RUNPATH)
    ]
    return found[_NEEDED], *[[one for one in each if one] for each in folders]  # type: ignore[return-value]


def _of_tls(folder: Path) -> Iterator[str]:
    try:
        names = sorted(entry.name for entry in folder.iterdir() if is_tls(entry.name))
    except OSError:
        return
    yield from (str(folder / name) for name in names)

"""Which processes are traced: those that are asked for, or all.

Decided by the program in the kernel, before it reads anything of the process.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pysniff.errors import OptionError
from pysniff.tracer.assembler import FRAME, R0, R1, R2, Helper, Register, Test
from pysniff.tracer.bpf import Map, MapType
from pysniff.tracer.probe_program import ProbeProgram

# Processes, names or control groups that can be asked for; each is an entry of a map.
MOST = 4_096
# How deep control groups are looked through: those of a pod are four or five deep.
_LEVELS = 12
NAME = 16  # TASK_COMM_LEN
_MOUNTS = Path("/proc/self/mounts")


@dataclass(frozen=True, slots=True)
class Limits:
    """A process is traced when any of these names it; all are where nothing is given.

    `names`: as in /proc/PID/comm, of which the kernel keeps 15 bytes. `cgroups`: ids of control groups (version 2),
    with all that are in them.
    """

    pids: frozenset[int] = frozenset()
    names: frozenset[str] = frozenset()
    cgroups: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.pids or self.names or self.cgroups)

    def include(self, pid: int, name: str) -> bool:
        """Whether a process is traced, as far as /proc tells; `name`: its own."""
        if not self or pid in self.pids or any(name.encode() == one.encode()[: NAME - 1] for one in self.names):
            return True
        return bool(self.cgroups) and not self.cgroups.isdisjoint(_cgroups_of(pid))


def cgroup_id(path: str) -> int:
    """Of a control group: its folder, or its path below where version 2 is mounted; OptionError where there is none."""
    candidates = [Path(path)] if path.startswith("/") else []
    candidates += [mount / path.lstrip("/") for mount in _cgroup_mounts()]
    for candidate in candidates:
        if (candidate / "cgroup.procs").exists() and any(candidate.is_relative_to(top) for top in _cgroup_mounts()):
            return candidate.stat().st_ino
    hint = "name a folder below the mount of cgroup2, as systemd-cgls shows it"
    raise OptionError(f"{path} is no control group (version 2)", hint=hint)


def _cgroups_of(pid: int) -> Iterator[int]:
    """Ids of the control group that a process is in, and of all that have it within."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        if line.startswith("0::"):
            own = Path(line[3:].lstrip("/"))
            for mount in _cgroup_mounts():
                for group in (own, *own.parents):
                    with suppress(OSError):
                        yield (mount / group).stat().st_ino


def _cgroup_mounts() -> list[Path]:
    try:
        lines = _MOUNTS.read_text().splitlines()
    except OSError:
        return []
    return [Path(fields[1]) for fields in map(str.split, lines) if len(fields) > 2 and fields[2] == "cgroup2"]


class LimitMaps:
    """The limits as maps, and the part of a program that asks them."""

    def __init__(self, limits: Limits) -> None:
        self._pids = _keys((struct.pack("<Q", pid) for pid in limits.pids), 8)
        self._names = _keys((name.encode()[: NAME - 1].ljust(NAME, b"\0") for name in limits.names), NAME)
        self._cgroups = _keys((struct.pack("<Q", number) for number in limits.cgroups), 8)

    def ask(self, program: ProbeProgram, pid: Register, name: int, elsewhere: str) -> None:
        """Go on where the process is to be traced, and jump to `elsewhere` where not.

        `pid`: R7 or R8, its number; `name`: where its NAME bytes are on the stack.
        """
        if not (self._pids or self._names or self._cgroups):
            return
        wanted, key = program.new_label(), program.room(8)
        if self._pids:
            program.store(FRAME, key, pid, size=8)
            _lookup(program, self._pids, key).jump_if(R0, Test.NOT_EQUAL, 0, wanted)
        if self._names:
            _lookup(program, self._names, name).jump_if(R0, Test.NOT_EQUAL, 0, wanted)
        if self._cgroups:
            program.call(Helper.GET_CURRENT_CGROUP_ID).store(FRAME, key, R0, size=8)
            _lookup(program, self._cgroups, key).jump_if(R0, Test.NOT_EQUAL, 0, wanted)
            for level in range(_LEVELS):
                program.move(R1, level).call(Helper.GET_CURRENT_ANCESTOR_CGROUP_ID)
                # There is none at this level, nor any below it.
                program.jump_if(R0, Test.EQUAL, 0, elsewhere).store(FRAME, key, R0, size=8)
                _lookup(program, self._cgroups, key).jump_if(R0, Test.NOT_EQUAL, 0, wanted)
        program.jump(elsewhere).label(wanted)

    def close(self) -> None:
        for held in (self._pids, self._names, self._cgroups):
            if held:
                held.close()


def _lookup(program: ProbeProgram, where: Map, key: int) -> ProbeProgram:
    return program.map(R1, where.fd).move(R2, FRAME).add(R2, key).call(Helper.MAP_LOOKUP)


def _keys(keys: Iterable[bytes], size: int) -> Map | None:
    """A map that has these keys; None where there are none. OptionError where there are too many."""
    wanted = list(keys)
    if not wanted:
        return None
    if len(wanted) > MOST:
        raise OptionError(f"{len(wanted)} processes are too many to ask for", hint=f"at most {MOST}")
    made = Map(MapType.HASH, key=size, value=1, entries=len(wanted), name="pysniff_limits")
    for key in wanted:
        made[key] = b"\1"
    return made

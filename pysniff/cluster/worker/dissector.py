"""One process that dissects, seen from the worker's event loop: it takes a question, answers it, and takes another.

Its frames are passed on unread, and read only when somebody pulls: a slow hub makes the process wait at its pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from typing import Self

from pysniff.cluster.frames import MESSAGE, Ask, Notice, encode, is_answer
from pysniff.cluster.worker.memory import resident
from pysniff.cluster.worker.telling import LENGTH
from pysniff.limits import KIB, MIB

# Answers of one process, and bytes by which its memory may have grown meanwhile: a new one has some 40 MB.
ANSWERS, GROWTH = 100, 96 * MIB
# Bytes read ahead of whoever pulls, twice that at most.
_AHEAD = 128 * KIB
# Bytes of texts that wait for a process which does not read them; further ones are not told to it.
_WAITING = 64 * KIB
# Seconds that a process which has said everything gets to end by itself.
_GRACE = 2.0


class Dissector:
    """`await Dissector.begun(words)`; then, each time rested() has said that it may be asked, a question and its frames
    up to the last one. In the end end(). `pid`: its number."""

    def __init__(self, process: Process) -> None:
        self.pid = process.pid
        self._process = process
        self._answers = 0
        self._new = 0  # bytes of memory, before its first answer

    @classmethod
    async def begun(cls, words: Sequence[str], descriptors: Sequence[int] = ()) -> Self:
        """Raise OSError where it cannot be started."""
        # numpy's libraries would start a thread for each processor, and reserve memory for each.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        # In a session of its own: Ctrl-C is for the worker.
        return cls(
            await asyncio.create_subprocess_exec(
                *words,
                stdin=PIPE,
                stdout=PIPE,
                pass_fds=descriptors,
                start_new_session=True,
                limit=_AHEAD,
                env=environment,
            )
        )

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    def ask(self, ask: Ask) -> None:
        self._answers += 1
        self._write(encode(ask))

    def tell(self, text: str) -> bool:
        """Have a line for people told in the answer under way; whether there was room for it."""
        stream = self._process.stdin
        if stream is None or stream.is_closing():
            return True
        if stream.transport.get_write_buffer_size() >= _WAITING:
            return False
        self._write(encode(Notice(1, 1, "warning", text)))
        return True

    async def read(self) -> bytes | None:
        """The next frame; None where there is none, or what comes is none."""
        assert self._process.stdout is not None
        try:
            size = LENGTH.unpack(await self._process.stdout.readexactly(LENGTH.size))[0]
            frame = await self._process.stdout.readexactly(size) if size <= MESSAGE else b"?"
        except asyncio.IncompleteReadError:
            return None
        # What is none would end the connection to the hub, and everybody's answers: an upgrade under way, for instance.
        return frame if not frame or is_answer(frame) else None

    async def rested(self, patience: float) -> bool:
        """Whether it may be asked: it says so within so many seconds, and is neither old nor has it grown."""
        try:
            async with asyncio.timeout(patience):
                ready = await self.read()
        except TimeoutError:
            return False
        size = resident([self.pid])
        if not self._answers:
            self._new = size
            return ready == b""
        return ready == b"" and self._answers < ANSWERS and size - self._new <= GROWTH

    async def death(self) -> str:
        """Why it broke off, for people."""
        try:
            code = await asyncio.wait_for(self._process.wait(), _GRACE)
        except TimeoutError:
            return "the process that dissects broke off"
        if code >= 0:
            return f"the process that dissects ended with {code}"
        try:
            return f"the process that dissects was killed ({signal.Signals(-code).name})"
        except ValueError:
            return f"the process that dissects was killed (signal {-code})"

    def kill(self) -> None:
        # Process.kill() would reap one that has just ended, behind the back of asyncio, which then knows no exit code.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def end(self, *, patiently: bool = False) -> None:
        """See to it that it is gone, and its pipes."""
        assert self._process.stdin is not None
        self._process.stdin.close()  # which ends it
        try:
            await asyncio.wait_for(self._gone(), _GRACE if patiently else 0.0)
        except TimeoutError:
            self.kill()
            await self._gone()

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(LENGTH.pack(len(data)) + data)

    async def _gone(self) -> None:
        """Wait for its end; asyncio notices that only when its output has been read."""
        assert self._process.stdout is not None
        while await self._process.stdout.read(_AHEAD):
            pass
        await self._process.wait()

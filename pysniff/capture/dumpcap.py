"""Captures through Wireshark's dumpcap, for people who may use it and may not capture themselves."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import IO, Self

from pysniff.capture import Idle, LiveCounts
from pysniff.capture.interfaces import list_interfaces, unknown
from pysniff.capture.pcapng import PcapngParser
from pysniff.capture.stream import CHUNK, WAIT, Wake
from pysniff.errors import FILTER_HINT, CaptureError, FilterError, PrivilegeError, ReadError
from pysniff.limits import SECOND
from pysniff.packet import Block

# dumpcap writes what it has at least twice a second.
LATEST = SECOND
# It ends within this time when asked, in seconds; a choking machine takes longer.
PATIENCE = 10.0


def may_capture() -> bool:
    """Whether dumpcap is there and this user may run it. Whether it may capture, it says itself."""
    return shutil.which("dumpcap") is not None


class Dumpcap:
    """Used as Live is. Its counts are those that dumpcap writes when it ends; 0 before.

    `settles`: seconds until it has read what passed; what it has not when it is stopped is lost, and not counted.
    """

    settles = LATEST / SECOND

    def __init__(
        self,
        interfaces: Sequence[str],
        bpf: str = "",
        snaplen: int = 262_144,
        buffer_size: int = 0,
        promiscuous: bool = False,
    ) -> None:
        self.interfaces = list(interfaces)
        self.notices = ["capturing through dumpcap: this process may not capture itself"]
        self._bpf = bpf
        self._parser = PcapngParser()
        self._wake = Wake()
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - close() closes it
        known = {interface.name for interface in list_interfaces()}
        for name in self.interfaces:
            if name not in known:
                self._wake.release()
                raise unknown(name)
        try:
            # In its own session: Ctrl-C is for us, who then ask it to end.
            self._process = subprocess.Popen(
                _command(self.interfaces, bpf, snaplen, buffer_size, promiscuous),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                start_new_session=True,
            )
        except OSError as error:
            self._wake.release()
            raise PrivilegeError(f"dumpcap: {error.strerror}", hint="run with sudo") from None
        assert self._process.stdout is not None
        self._fd = self._process.stdout.fileno()
        # The section header comes once everything is open; without one there was an error.
        self._first = self._read()
        if not self._first:
            error_ = self._error()
            self.close()
            raise error_

    def stop(self) -> None:
        """End the iteration once dumpcap has written everything; callable from anywhere."""
        self._wake.call()

    def counts(self) -> LiveCounts:
        # dumpcap's isb_ifrecv is libpcap's ps_recv, its isb_ifdrop ps_drop and ps_ifdrop together.
        return LiveCounts(self._parser.received, self._parser.dropped, 0)

    def close(self) -> None:
        self._ask_to_end()
        if self._process.stdout is not None:
            self._process.stdout.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._complaints.close()
        self._wake.call()
        self._wake.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Block | Idle]:
        yield from self._parser.feed(self._first)
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        poller.register(self._wake.reader, select.POLLIN)
        while not self._wake.called:
            before = time.time_ns()
            ready = poller.poll(WAIT * 1000)
            if any(fd == self._fd for fd, _ in ready):
                data = self._read()
                if not data:
                    raise self._error()
                yield from self._parser.feed(data)
            elif not ready:
                yield Idle(before - LATEST)
        self._ask_to_end()
        while data := self._read():
            yield from self._parser.feed(data)
        try:
            self._parser.end()
        except ReadError as error:
            self.notices.append(f"dumpcap: {error}")

    def _read(self) -> bytes:
        return os.read(self._fd, CHUNK)

    def _ask_to_end(self) -> None:
        if self._process.poll() is None:
            # Its real user is ours, also where it is set-user-id: so it takes our signals.
            self._process.send_signal(signal.SIGINT)

    def _error(self) -> CaptureError | FilterError:
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return CaptureError("dumpcap closed its output and goes on")
        self._complaints.seek(0)
        text = self._complaints.read(65_536).decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        said = next((line for line in lines if not line.startswith(("Capturing on", "File:"))), "no reason given")
        if re.search("permission", text, re.IGNORECASE):
            return PrivilegeError(
                "neither this process nor dumpcap may capture",
                hint="run with sudo, or join the group wireshark, or read a file with -r",
            )
        if self._bpf and "filter" in text:
            return FilterError(f"capture filter {self._bpf!r}: {said}", hint=FILTER_HINT)
        return CaptureError(f"dumpcap: {said}")


def _command(interfaces: Sequence[str], bpf: str, snaplen: int, buffer_size: int, promiscuous: bool) -> list[str]:
    command = ["dumpcap", "-q", "-w", "-"]
    # Before the first -i they hold for all.
    if bpf:
        command += ["-f", bpf]
    command += ["-s", str(snaplen), "-B", str(max(buffer_size >> 20, 16))]
    if not promiscuous:
        command.append("-p")
    for name in interfaces:
        command += ["-i", name]
    return command

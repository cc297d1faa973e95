"""TLS read with the help of the kernel, as somebody asked for it: secrets of running programs, or their plain text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from pysniff.errors import CaptureError, OptionError
from pysniff.plain import PlainChunk
from pysniff.secrets import TlsConnection

if TYPE_CHECKING:
    from pysniff.entry import Entry
    from pysniff.tracer.kernel_secrets import KernelSecrets
    from pysniff.tracer.limits import Limits
    from pysniff.tracer.plaintext import PlainSource

MODES = ("keys", "plaintext")


class Tracing:
    """Probes in the TLS libraries of running programs, until close() or the end of this process.

    `mode`: "keys" reads secrets, and plain text only of connections that were open before; "plaintext" reads plain text
    of all. `only`: these alone, as of traced(). `secrets`: a source of them, None in plaintext mode. `notices`: what
    cannot be done, in words. Raises PrivilegeError, CaptureError or OptionError where nothing can.
    """

    def __init__(self, mode: str = "keys", only: Iterable[str] = ()) -> None:
        from pysniff.tracer.plaintext import PlainSource

        if mode not in MODES:
            raise OptionError(f"no mode {mode} of reading TLS", hint=f"there are {' and '.join(MODES)}")
        limits = traced(only)
        self.notices = list(absent(limits))
        self.secrets: KernelSecrets | None = None
        self.plain: PlainSource | None = None
        with ExitStack() as stack:
            if mode == "keys":
                from pysniff.tracer.kernel_secrets import KernelSecrets

                self.secrets = stack.enter_context(KernelSecrets(limits))
            try:
                self.plain = stack.enter_context(PlainSource(limits, only_earlier=mode == "keys"))
            except CaptureError as error:
                if self.secrets is None:
                    raise
                self.notices.append(f"TLS connections that are open already stay closed: {error}")
            for name in sorted(limits.names):
                self.meet([name])
            self._stack = stack.pop_all()

    def meet(self, words: Sequence[str], environ: Mapping[str, str] = os.environ) -> None:
        """Look at what a command will map before it is started: its first connection is read, too."""
        from pysniff.tracer.beforehand import files_of

        for path in files_of(words, environ):
            for source in (self.secrets, self.plain):
                if source is not None and source.attachments is not None:
                    source.attachments.meet_path(path)

    def began(self, connections: Iterable[TlsConnection]) -> None:
        """Have TLS connections that were captured counted for their processes; where keys are read."""
        if self.secrets is not None:
            self.secrets.began(connections)

    def saw(self, entry: Entry) -> None:
        """The same of the entry of a handshake; not where something else than a key was missing."""
        from pysniff.tls.reasons import NO_KEYS

        request, response = entry.request, entry.response
        if request is None or entry.state == "open":
            return
        keyed, reason = (False, "") if response is None else (bool(response.key_source), response.not_decrypted)
        if keyed or not reason or reason in NO_KEYS:
            self.began([TlsConnection(request.hello.random, entry.sender_key, keyed)])

    def chunks(self) -> Sequence[PlainChunk]:
        """Plain text that was read since this was last called, by time."""
        return () if self.plain is None else self.plain.poll()

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def absent(limits: Limits) -> Iterator[str]:
    """Of numbers and names that no process has now."""
    from pysniff.tracer import processes

    running = set(processes.running())
    names = {processes.name_of(pid) for pid in running} if limits.names else set()
    for pid in sorted(limits.pids - running):
        yield f"there is no process {pid} whose TLS could be read"
    for name in sorted(limits.names):
        if name.encode()[:15].decode("utf-8", "replace") not in names:  # the kernel keeps no more
            yield f"no process is called {name} yet: its TLS is read once there is one"


def traced(only: Iterable[str]) -> Limits:
    """Processes by number, name as in /proc/PID/comm, or control group as a path; raise OptionError."""
    from pysniff.tracer.limits import Limits, cgroup_id

    pids, names, groups = set(), set(), set()
    for word in only:
        if word.isascii() and word.isdigit():
            pids.add(int(word))
        elif "/" in word:
            groups.add(cgroup_id(word))
        elif word:
            names.add(word)
        else:
            raise OptionError("nothing names no process", hint="give a number, a name, or the path of a control group")
    return Limits(frozenset(pids), frozenset(names), frozenset(groups))

"""The configuration in force, and how a hub's document takes its place: checked, given to the capture, kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

from pysniff.cluster.precedence import precedence
from pysniff.cluster.worker.capturing_words import CaptureSettings
from pysniff.cluster.worker.configuration import Configuration, Document
from pysniff.cluster.worker.configuration_file import keep
from pysniff.errors import OptionError, WriteError


class Capture(Protocol):
    """What captures."""

    async def configure(self, settings: CaptureSettings) -> str:
        """Have these in force; "", or why the old ones stay."""


class Configuring:
    """`command_line`: version 0, which `document` overlays. `compiles`: why a capture filter does not, else "".

    `tell`: takes a line for people. `trace`: has another mode of Configuration.tls in force, "" or why not; None where
    the command line does not allow any.
    """

    def __init__(
        self,
        directory: Path,
        command_line: Configuration,
        document: Document,
        capture: Capture,
        compiles: Callable[[str], Awaitable[str]],
        tell: Callable[[str], None],
        trace: Callable[[str], Awaitable[str]] | None = None,
    ) -> None:
        """Raise OptionError where the document does not go with the command line."""
        self.document = document
        self.effective = command_line.overlaid(document)
        self._command_line = command_line
        self._directory = directory
        self._capture = capture
        self._compiles = compiles
        self._tell = tell
        self._trace = trace
        self._changing = asyncio.Lock()

    def to_dict(self) -> dict[str, object]:
        """`config`: the document; `effective`: every setting."""
        return {"config": self.document.to_dict(), "effective": self.effective.to_dict()}

    async def configure(self, told: Mapping[str, object]) -> dict[str, object]:
        """What became of a document: `version` in force, `accepted`, `reason`, `effective`."""
        async with self._changing:
            try:
                reason = await self._take(Document.of(told))
                accepted = True
            except _Refused as refused:
                accepted, reason = False, str(refused)
            except OptionError as error:
                accepted, reason = False, str(error)
        return {
            "version": self.document.version,
            "accepted": accepted,
            "reason": reason,
            "effective": self.effective.to_dict(),
        }

    async def _take(self, document: Document) -> str:
        """Words where it is accepted with a flaw; raise _Refused or OptionError, and nothing has changed."""
        theirs, own = precedence(document.to_dict()), precedence(self.document.to_dict())
        if theirs == own:
            return ""
        if theirs[0] < max(own[0], 1):
            raise _Refused(f"older: version {theirs[0]} is not above {own[0]}")
        if theirs < own:
            raise _Refused(f"conflict: there is another configuration of version {own[0]}, whose text is greater")
        effective = self._command_line.overlaid(document)
        settings = effective.settings()
        if settings.bpf != self.effective.settings().bpf:
            # Alone, too: brackets that do not match must not reach those around it.
            for text in dict.fromkeys((effective.capture.bpf, settings.bpf)):
                if reason := await self._compiles(text):
                    raise _Refused(reason)
        await self._take_tls(effective.tls)
        if reason := await self._capture.configure(settings):
            await self._take_tls(self.effective.tls)
            raise _Refused(reason)
        self.document, self.effective = document, effective
        self._tell(f"configured by a hub, version {document.version}: {_words(document)}")
        try:
            await asyncio.to_thread(keep, self._directory, document)
        except WriteError as error:
            reason = f"in force, but not kept for the next start: {error}"
            self._tell(reason)
            return reason
        return ""

    async def _take_tls(self, mode: str) -> None:
        """Raise _Refused where it cannot be."""
        if self._trace is None:
            if mode:
                raise _Refused("tls: this worker was started without --tls, which allows it")
        elif reason := await self._trace(mode):
            raise _Refused(f"tls: {reason}")


class _Refused(Exception):
    """A document that is not taken, and why."""


def _words(document: Document) -> str:
    shown = ", ".join(f"{name} {value!r}" for name, value in document.settings.items())
    return shown[:500] or "as the command line says"

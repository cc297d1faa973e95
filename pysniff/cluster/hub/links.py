"""What the hub needs of its links to workers; pysniff.cluster's Workers is it, and tests have one without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from aiohttp import web

from pysniff.cluster.frames import Hello


class Worker(Protocol):
    """One worker that was met since the hub began; names are those of nodes."""

    @property
    def name(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def state(self) -> str:
        """connected, away or refused."""

    @property
    def reason(self) -> str: ...
    @property
    def since_ns(self) -> int: ...
    @property
    def session(self) -> str: ...
    @property
    def hello(self) -> Hello | None: ...


class Asked(Protocol):
    """An answer under way: frames, and Away or Back where the connection was lost."""

    def __aiter__(self) -> AsyncIterator[Any]: ...
    @property
    def size(self) -> int:
        """Bytes of the frame given last, as grant() takes them; 0 where none are to be granted."""

    def grant(self, size: int) -> None: ...
    def cancel(self) -> None: ...


class Links(Protocol):
    """All workers of this hub."""

    @property
    def known(self) -> Mapping[str, Worker]: ...
    @property
    def unresolved(self) -> Mapping[str, str]:
        """Names that DNS does not know now, and why."""

    @property
    def figures(self) -> Mapping[str, int]:
        """What happened on links, counted by name."""

    @property
    def on_change(self) -> list[Callable[[Any], None]]: ...
    def ask(self, name: str, what: str, params: dict[str, object], /) -> Asked: ...
    async def accept(self, request: web.Request) -> web.StreamResponse: ...
    def endpoints(self) -> list[tuple[tuple[str, int], tuple[str, int]]]:
        """Address and port of both ends of each connection, ours first."""

    async def close(self) -> None: ...

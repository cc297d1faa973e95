"""Display filters compiled off the event loop: the worst one that is accepted takes about 0.1 s.

One thread compiles, so that filters cost the hub no more than that, whoever sends them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from pysniff.kfl.filter import Filter

P = ParamSpec("P")
T = TypeVar("T")


class Filters:
    """Those of one hub. Its length bounds a filter, the number of connections how many wait here."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "filters")

    async def compiled(self, text: str) -> Filter:
        """Raise FilterError that points at the column."""
        from pysniff.kfl.variables import compile

        return await self._run(compile, text)

    async def explained(self, text: str) -> dict[str, object]:
        """What it means, as pysniff/kfl/record.py says; raise FilterError that points at the column."""
        return await self._run(_explained, text)

    async def language(self) -> dict[str, object]:
        """Every variable that a filter may name, and every function, method, operator and macro."""
        return await self._run(_language)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *args, **kwargs))


def _explained(text: str) -> dict[str, object]:
    from pysniff.kfl.record import record
    from pysniff.kfl.variables import compile

    return record(compile(text))


def _language() -> dict[str, object]:
    from pysniff.kfl.record import row, word_row
    from pysniff.kfl.variables import schema
    from pysniff.kfl.words import words

    return {"variables": [row(one) for one in schema()], "functions": [word_row(one) for one in words()]}

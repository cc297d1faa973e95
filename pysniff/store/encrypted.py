"""TLS connections that a query met in a store that has no secrets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pysniff.store.catalogue import Chapter

# Connections that are told apart; of more it is said that there are more.
_MOST = 100_000


class Encrypted:
    """add() what is read; then notice() says it, once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._names: set[bytes] = set()
        self._told = False

    def add(self, chapter: Chapter) -> None:
        rows, protocols = chapter.index.rows, chapter.index.protocols
        if "tls" not in protocols or len(self._names) >= _MOST:
            return
        wanted = rows["protocol"] == protocols.index("tls")
        if chapter.chosen is not None:
            wanted &= chapter.chosen
        self._names.update(np.ascontiguousarray(rows["name"][wanted]).view("V8").tolist())

    def notice(self) -> str:
        """Words for a person; "" where there is nothing to say, or it was said."""
        count = len(self._names)
        if not count or self._told:
            return ""
        self._told = True
        number = f"{count:,}{' and more' if count >= _MOST else ''} TLS connection{'s' if count > 1 else ''}"
        return (
            f"{self._directory}: {number}, and no keys were kept with them: record with --store-secrets, or give "
            "--keylog FILE"
        )

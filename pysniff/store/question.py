"""What is asked of a store, and what one step of the answer says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pysniff.entry import Entry
from pysniff.limits import DEFAULT, Limits
from pysniff.names import NOTHING as NO_NAMES
from pysniff.names import Names
from pysniff.protobuf.schema import NOTHING, Schemas
from pysniff.secrets import SecretSource

if TYPE_CHECKING:
    from pysniff.kfl import Filter


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`start`, `end`: nanoseconds, both included, of entries' timestamps. `flows`: names of the only ones wanted.
    `node`: with this ids begin. `capture_source`: where packets come from, should the store have none yet to say so.

    `after`: only segments with larger numbers. `since`: only entries that completed, or, while they are open, were
    last heard, then or later: how somebody goes on who was told everything up to there. `secrets`: sources of secrets
    of TLS, for this question alone, beside what the store keeps.
    """

    filter: Filter
    start: int | None = None
    end: int | None = None
    since: int | None = None
    limit: int | None = None
    newest_first: bool = False
    follow: bool = False
    flows: frozenset[bytes] = frozenset()
    after: int = 0
    decode_as: Mapping[tuple[str, int], str] = field(default_factory=dict)
    proto: Schemas = NOTHING
    names: Names = NO_NAMES
    limits: Limits = DEFAULT
    node: str = "local"
    capture_source: str = "file"
    secrets: Sequence[SecretSource] = ()


class Step(NamedTuple):
    """What one step of a query found, and how far it has come.

    `until`: nanoseconds; what completes before it has been told, 0 where nobody can say so. Later come only entries
    that were given up (no answer, a hole that was waited for), and those of conversations recognised late or captured
    under a clock that was set back. Of a query that begins with the newest: what has a later timestamp has been told.
    `caught_up`: history is told, what follows is new.
    """

    entries: list[Entry]
    until: int
    caught_up: bool

"""A client's question, as it comes over the WebSocket: checked here, planned and answered at the workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson

from pysniff.cluster.hub.moments import moment
from pysniff.errors import OptionError
from pysniff.limits import SECOND

NODES = 1_000  # names in one question
LIMIT = 1 << 40
# Nanoseconds by which clocks of nodes may be behind the hub's: nothing of what is new is left out.
CLOCKS = 2 * SECOND
_KNOWN = {
    "filter", "from", "to", "limit", "newest_first", "follow", "show_duplicates", "nodes", "decode_as",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`start`, `end`: nanoseconds, of entries' timestamps. `from_now`: nothing of the past was asked for.
    `since`: only what completed then or later. `nodes`: the only ones asked, None for all.
    """

    filter: str = ""
    start: int | None = None
    end: int | None = None
    since: int | None = None
    from_now: bool = False
    limit: int | None = None
    newest_first: bool = False
    follow: bool = False
    show_duplicates: bool = False
    nodes: frozenset[str] | None = None
    decode_as: tuple[tuple[str, str], ...] = ()

    def params(self, since: int | None, end: int | None, left: int | None) -> dict[str, object]:
        """Of the `query` frame; `since`, `end`: where to go on, `left`: of the limit."""
        return {
            "filter": self.filter,
            "start": self.start,
            "end": end,
            "since": since,
            "limit": left,
            "newest_first": self.newest_first,
            "follow": self.follow,
            "decode_as": dict(self.decode_as),
        }

    def asks(self, node: str) -> bool:
        return self.nodes is None or node in self.nodes

    @property
    def goes_on(self) -> bool:
        """Whether its new part has no end but the client's."""
        return self.follow and self.end is None and self.limit is None

    @property
    def shared_as(self) -> object:
        """Of questions with the same of these what is new is the same."""
        return self.filter, self.show_duplicates, self.nodes, self.decode_as

    def what_is_new(self, now: int) -> Question:
        """The question for that, from now on."""
        return replace(self, start=None, since=now - CLOCKS, from_now=True)


def question(text: str | bytes, now: int) -> Question:
    """Of a JSON object; raise OptionError. The filter is not looked at. `now`: the hub's time, nanoseconds."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise OptionError(f"the message is not JSON: {error}", hint='send {"filter": "http"}') from None
    if not isinstance(value, dict):
        raise OptionError("the message is no JSON object", hint='send {"filter": "http"}')
    if unknown := sorted(value.keys() - _KNOWN):
        raise OptionError(f"unknown: {unknown[0][:64]!r}", hint=f"a question has {', '.join(sorted(_KNOWN))}")
    follow, newest_first = _flag(value, "follow", True), _flag(value, "newest_first", False)
    if newest_first and "follow" not in value:
        follow = False
    if newest_first and follow:
        raise OptionError("newest_first and follow exclude each other", hint="ask twice, over two connections")
    # What is new is what completes from now on, however long ago it began.
    from_now = value.get("from") == "now" and follow
    return Question(
        filter=_text(value.get("filter", ""), "filter"),
        start=None if from_now else moment(value.get("from"), "from", now),
        since=now - CLOCKS if from_now else None,
        end=moment(value.get("to"), "to", now),
        from_now=from_now,
        limit=_limit(value.get("limit")),
        newest_first=newest_first,
        follow=follow,
        show_duplicates=_flag(value, "show_duplicates", False),
        nodes=_nodes(value.get("nodes")),
        decode_as=_decode_as(value.get("decode_as")),
    )


def _flag(value: Mapping[str, object], name: str, default: bool) -> bool:
    found = value.get(name)
    if found is None:
        return default
    if not isinstance(found, bool):
        raise OptionError(f"{name} is neither true nor false")
    return found


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise OptionError(f"{name} is no text")
    return value


def _limit(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 1 <= value <= LIMIT:
        raise OptionError(f"limit is not a whole number from 1 to {LIMIT}")
    return value


def _nodes(value: object) -> frozenset[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not 1 <= len(value) <= NODES or not all(isinstance(one, str) for one in value):
        raise OptionError(f"nodes is no list of 1 to {NODES} names", hint="leave it out to ask all")
    return frozenset(value)


def _decode_as(value: object) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict) or len(value) > 100 or not all(isinstance(one, str) for one in value.values()):
        raise OptionError("decode_as is no object of texts", hint='{"tcp.port==9000": "redis"}')
    return tuple(sorted(value.items()))

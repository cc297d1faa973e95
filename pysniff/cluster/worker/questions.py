"""Questions to the store, from the parameters of a hub's request; compiling their filters takes CPU."""

from __future__ import annotations

import re

from pysniff.cluster.worker.params import Params
from pysniff.dissectors import known
from pysniff.errors import OptionError
from pysniff.kfl.variables import compile
from pysniff.limits import KIB
from pysniff.store.question import Question

# Characters of a filter; rules of decode_as.
LONGEST_FILTER, MOST_RULES = 64 * KIB, 256
_RULE = re.compile(r"(tcp|udp)\.port==(\d{1,5})", re.ASCII)


def question(params: Params, node: str, source: str) -> Question:
    """Of "query"; `node` and `source` as the entries have them. Raises OptionError and FilterError."""
    asked = Question(
        filter=compile(params.text("filter", LONGEST_FILTER)),
        start=params.time("start"),
        end=params.time("end"),
        since=params.time("since"),
        limit=params.whole("limit", 1, 1 << 53),
        newest_first=params.flag("newest_first"),
        follow=params.flag("follow"),
        decode_as=_rules(params, "decode_as"),
        node=node,
        capture_source=source,
    )
    params.done()
    if asked.newest_first and asked.follow:
        raise OptionError("newest_first and follow exclude each other", hint="what follows is always newer")
    return asked


def window(params: Params, node: str, source: str) -> Question:
    """Of what is asked with a filter and times alone."""
    return Question(
        filter=compile(params.text("filter", LONGEST_FILTER)),
        start=params.time("start"),
        end=params.time("end"),
        node=node,
        capture_source=source,
    )


def _rules(params: Params, name: str) -> dict[tuple[str, int], str]:
    """{"tcp.port==9000": "redis"} as decode_as has it."""
    given = params.table(name, MOST_RULES) or {}
    return dict(_rule(name, rule, protocol) for rule, protocol in given.items())


def _rule(name: str, rule: object, protocol: object) -> tuple[tuple[str, int], str]:
    match = _RULE.fullmatch(rule) if isinstance(rule, str) else None
    if match is None or not 0 < int(match[2]) < 65536:
        raise OptionError(f"{name}: {str(rule)[:64]!r} is no rule", hint="write it as tcp.port==9000")
    if not isinstance(protocol, str) or protocol not in {one.protocol for one in known()[match[1]]}:
        raise OptionError(f"{name}: no protocol {str(protocol)[:64]!r} over {match[1]}")
    return (match[1], int(match[2])), protocol

"""Which rows of an index may hold what a filter asks for: the plan of the filter, a column at a time.

Three values, as in kfl/plan.py: TRUE, FALSE and MAYBE. Only what is FALSE for sure is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from socket import AF_INET, AF_INET6, inet_ntop

import numpy as np
from numpy.typing import NDArray

from pysniff.dissector import Dissector
from pysniff.dissectors import known, refinements
from pysniff.kfl.entry_variables import FLAGS
from pysniff.kfl.plan import All, Any, Atom, Known, Not, Part, Plan
from pysniff.refinement import Refinement
from pysniff.store.index import Index
from pysniff.store.rows import UNSURE, A, B

FALSE, MAYBE, TRUE = 0, 1, 2
Verdicts = NDArray[np.int8]
_ENDS = {"src.ip": ("address_a", "address_b"), "dst.ip": ("address_b", "address_a")}
_COLUMNS = ("address_a", "address_b", "port_a", "port_b", "size", "protocol", "marks", "transport")
_PORTS = {"src.port": ("port_a", "port_b"), "dst.port": ("port_b", "port_a")}


def may_match(plan: Plan, index: Index, forced: Collection[tuple[str, int]] = ()) -> NDArray[np.bool_]:
    """Of each row whether an entry of its conversation may match; `forced`: transports and ports of decode_as."""
    rows = index.rows
    if not len(rows):
        return np.zeros(0, np.bool_)
    if isinstance(plan.tree, Known):
        return np.full(len(rows), plan.tree.value is not False)
    found = np.zeros(len(rows), np.bool_)
    for client, other in ((A, B), (B, A)):
        mine = np.flatnonzero(rows["client"] != other)  # nobody knows, or it is this one
        if len(mine):
            columns = {name: rows[name][mine] for name in _COLUMNS}
            found[mine] |= _Rows(columns, index.protocols, client == A, forced).verdicts(plan.tree) != FALSE
    found &= rows["transport"] != 0
    return found


class _Rows:
    """Rows looked at with a or b as their client."""

    def __init__(
        self,
        columns: Mapping[str, np.ndarray],
        protocols: Sequence[str],
        a_is_client: bool,
        forced: Collection[tuple[str, int]],
    ) -> None:
        self._rows = columns
        self._count = len(columns["transport"])
        self._protocols = protocols
        self._way = 0 if a_is_client else 1
        self._forced = forced

    def verdicts(self, part: Part) -> Verdicts:
        if isinstance(part, Known):
            return np.full(self._count, MAYBE if part.value is None else 2 * part.value, np.int8)
        if isinstance(part, Not):
            return (2 - self.verdicts(part.part)).astype(np.int8)
        if isinstance(part, All):
            return self._joined(part.parts, np.minimum, FALSE)
        if isinstance(part, Any):
            return self._joined(part.parts, np.maximum, TRUE)
        return self._atom(part)

    def _joined(self, parts: Sequence[Part], join: np.ufunc, settled: int) -> Verdicts:
        """Part after part, each only for rows that those before leave open: tests of values are Python."""
        found = self.verdicts(parts[0])
        for part in parts[1:]:
            left = np.flatnonzero(found != settled)
            if not len(left):
                break
            rows = _Rows(
                {name: column[left] for name, column in self._rows.items()},
                self._protocols,
                self._way == 0,
                self._forced,
            )
            found[left] = join(found[left], rows.verdicts(part))
        return found

    def _atom(self, atom: Atom) -> Verdicts:
        if len(atom.names) == 1:
            name = atom.names[0]
            if name in _ENDS:
                return self._by_value(self._addresses(name), lambda value: _verdict(atom.test(_address(value))))
            if name in _PORTS:
                return self._by_value(self._rows[_PORTS[name][self._way]], lambda port: _verdict(atom.test(int(port))))
            return self._by_protocol(lambda protocol, transport: _of_protocol(atom, name, protocol, transport))
        if all(name in _ENDS or name in _PORTS for name in atom.names):
            return self._by_many(atom)
        return np.full(self._count, MAYBE, np.int8)

    def _addresses(self, name: str) -> np.ndarray:
        """17 bytes each: the address, padded, and its size."""
        rows, column = self._rows, _ENDS[name][self._way]
        both = np.zeros(self._count, np.dtype([("address", "V16"), ("size", "u1")]))
        both["address"], both["size"] = rows[column], rows["size"]
        return both.view("V17")

    def _by_value(self, values: np.ndarray, judge: Callable[[np.generic], int]) -> Verdicts:
        different, places = np.unique(values, return_inverse=True)
        return np.array([judge(value) for value in different], np.int8)[places.reshape(-1)]

    def _by_many(self, atom: Atom) -> Verdicts:
        columns = [
            self._addresses(name) if name in _ENDS else self._rows[_PORTS[name][self._way]] for name in atom.names
        ]
        read = [_address if name in _ENDS else int for name in atom.names]
        known: dict[tuple[bytes, ...], int] = {}
        found = np.empty(self._count, np.int8)
        for place, values in enumerate(zip(*columns, strict=True)):
            key = tuple(value.tobytes() for value in values)
            if key not in known:
                known[key] = _verdict(atom.test(*[take(value) for take, value in zip(read, values, strict=True)]))
            found[place] = known[key]
        return found

    def _by_protocol(self, judge: Callable[[str, str], int]) -> Verdicts:
        """By what a conversation promises and its transport."""
        rows = self._rows
        protocols = np.where(rows["marks"] & UNSURE != 0, 0, rows["protocol"])
        codes = protocols.astype(np.int64) << 8 | rows["transport"]
        different, places = np.unique(codes, return_inverse=True)
        transports = {6: "tcp", 17: "udp"}
        judged = [judge(self._protocols[int(code) >> 8], transports.get(int(code) & 0xFF, "")) for code in different]
        found = np.array(judged, np.int8)[places.reshape(-1)]
        for transport, port in self._forced:  # decode_as says what those are, whatever their bytes promise
            number = 6 if transport == "tcp" else 17
            found[(rows["transport"] == number) & ((rows["port_a"] == port) | (rows["port_b"] == port))] = MAYBE
        return found


def _verdict(value: bool | None) -> int:
    return MAYBE if value is None else TRUE if value else FALSE


def _address(value: np.generic) -> str:
    text = value.tobytes()
    return inet_ntop(AF_INET, text[:4]) if text[16] == 4 else inet_ntop(AF_INET6, text[:16])


def _of_protocol(atom: Atom, name: str, protocol: str, transport: str) -> int:
    """An atom of `protocol`, or of a protocol's flag."""
    given = entries_of(protocol, transport)
    if given is None:
        return MAYBE
    if name == "protocol":
        found = {_verdict(atom.test(each)) for each in given}
        return found.pop() if len(found) == 1 else MAYBE
    return _verdict(atom.test(False)) if never(name, protocol, transport) else MAYBE


@cache
def entries_of(protocol: str, transport: str) -> frozenset[str] | None:
    """The protocols of the entries that a conversation may give that promises this one; None for any."""
    dissector = next((one for one in known().get(transport, ()) if one.protocol == protocol), None)
    if dissector is None or dissector.decrypts:
        return None
    given = set(dissector.gives or (dissector.protocol,))
    given |= {refinement.protocol for refinement in refinements() if refinement.refines in given}
    return frozenset(given | {transport})


@cache
def never(flag: str, protocol: str, transport: str) -> bool:
    """Whether no entry of such a conversation has this protocol flag."""
    given = entries_of(protocol, transport)
    if given is None:
        return False
    if flag in ("tcp", "udp"):
        return flag not in given
    every: list[type[Dissector] | type[Refinement]] = [*refinements()]
    for dissectors in known().values():
        every += dissectors
    owners = {one for one in every if one.protocol == flag or flag in _flags(one)}
    theirs = {name for one in owners for name in (getattr(one, "gives", ()) or (one.protocol,))}
    return bool(owners) and not theirs & given


def _flags(one: type[Dissector] | type[Refinement]) -> frozenset[str]:
    return frozenset(variable.name for variable in one.variables if variable.section == FLAGS)

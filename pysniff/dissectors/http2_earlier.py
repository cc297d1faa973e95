"""What one half of a connection joined in the middle shows of the entries that its dynamic table had before.

Entries go by their number, negative for those from before the join.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import pairwise

from pysniff.dissectors.hpack import Field, Unknown
from pysniff.dissectors.http2_acquaintance import FLEETING, Acquaintance, Past, aligned_value, steady_value
from pysniff.dissectors.http2_orders import Kind, Names, pseudo_places, usual_path

SAME_ENDS = "as on other connections between the same ends"
SAME_SERVER = "as on connections of other clients to the same server"
ALIKE = "from an answer that only this path had"
PLACE = "from its place in the block"
_NUMBERS = 512  # entries about which something is noted; a table of 4 KiB has 128
_EAGER = 32  # times that names are looked for at once when something new is known
_PATTERNS = 64  # blocks with unknown fields that differ

Part = int | str  # of a block: a name, or a number where the name is not known
TRAILERS = ("grpc-status", "grpc-message")
NO_WORDS = ("", "OK")  # of grpc-message, where all went well: of grpcio and grpc-js


class Earlier:
    """`names` and `values`: by number, each with how it is known. `revision` changes whenever they may have."""

    def __init__(self, shared: Acquaintance, client: str, *, joined: bool) -> None:
        self.shared = shared
        self.joined = joined
        self.calls = 0
        self.revision = 0
        self.names: dict[int, tuple[str, str]] = {}
        self.values: dict[int, tuple[str, str]] = {}
        self._past = Past(client, whole=not joined)
        self._listed = False  # among the connections that others learn from
        self._literal: dict[int, Field] = {}  # since the join
        self._patterns: dict[tuple[Kind, tuple[Part, ...]], None] = {}
        self._places: dict[tuple[int, ...], tuple[set[Hashable], ...]] = {}
        self._answers: dict[int, set[Hashable]] = {}  # signatures of exchanges that asked for an unknown path
        self._statuses: Counter[int] = Counter()  # trailers behind messages of gRPC, by their status
        self._leader: int | None = None  # the one that most have, if there is one
        self._zeros: list[Field] = []  # with the value 0 that were inserted: no encoder inserts what its table has
        self._errors: set[int] = set()  # statuses with words of an error
        self._tried = (-1, -1, -1)
        self._runs = 0
        self._waited = 0

    def insert(self, number: int, field: Field) -> None:
        """The table got an entry."""
        if self._past.insert(number, field) and not self.joined:
            self._changed()
        if self.joined:
            self._deny(field)
            if len(self._literal) < _NUMBERS:
                self._literal[number] = field

    def learn(self, kind: Kind, fields: Sequence[Field], *, grpc: bool) -> None:
        """A block; `grpc`: it stands behind messages of gRPC."""
        self._past.calls = self.calls
        if self._past.learn(kind, fields):
            self._changed()
        if self.joined and any(isinstance(field, Unknown) for field in fields):
            self._note(kind, fields, grpc)

    def _changed(self) -> None:
        if not self._listed:
            self._listed = True
            self.shared.add(self._past)
        self.shared.version += 1

    def asks(self, field: Field) -> bool:
        """Whether it is a path that nobody saw."""
        return isinstance(field, Unknown) and self.name(field.name.number) == ":path"

    def compare(self, number: int, signature: Hashable) -> None:
        """The exchange asked for the unknown path `number`."""
        if len(self._answers) < _NUMBERS:
            self._answers.setdefault(number, set()).add(signature)

    def name(self, number: int) -> str:
        return self.names.get(number, ("", ""))[0]

    def usual_status(self, number: int, *, strict: bool) -> bool:
        """Whether an entry in trailers behind messages is what most such trailers have and none with words of an error.

        `strict`: more often than any other one, and twice at least.
        """
        if number in self._errors or any(self._name_of(field) == "grpc-status" for field in self._zeros):
            return False
        return not strict or self._leader == number

    # What is noted of blocks with unknown fields

    def _note(self, kind: Kind, fields: Sequence[Field], grpc: bool) -> None:
        parts = tuple([field.name.number if isinstance(field, Unknown) else field[0] for field in fields])
        if grpc:
            self._note_trailers(fields)
        if kind is not Kind.REQUEST:
            self._note_error(fields)
        pattern = kind, parts
        if pattern not in self._patterns and len(self._patterns) < _PATTERNS:
            self._patterns[pattern] = None
        if kind is Kind.REQUEST:
            self._vary(parts, fields)

    def _note_trailers(self, fields: Sequence[Field]) -> None:
        """Behind messages of gRPC stand grpc-status and perhaps grpc-message, in this order in all implementations."""
        if len(fields) > 2 or len(self.names) >= _NUMBERS:
            return
        for field, name in zip(fields, TRAILERS, strict=False):
            if isinstance(field, Unknown):
                self.names.setdefault(field.name.number, (name, PLACE))
        first = fields[0]
        if isinstance(first, Unknown) and first.value is not None:
            self._count_status(first.name.number)

    def _count_status(self, number: int) -> None:
        counts = self._statuses
        counts[number] += 1
        count = counts[number]
        leads = count > 1 and all(other == number or count > counts[other] for other in counts)
        leader = number if leads else self._leader
        if leader != number and leader is not None and counts[leader] <= count:
            leader = None
        if leader != self._leader:
            self._leader = leader
            self.revision += 1

    def _note_error(self, fields: Sequence[Field]) -> None:
        """Words of an error: what stands before them is not grpc-status: 0."""
        for status, message in pairwise(fields):
            words = "" if isinstance(message, Unknown) and message.value is not None else message[1]
            if words in NO_WORDS or self._name_of(message) != "grpc-message" or len(self._errors) >= _NUMBERS:
                continue
            if isinstance(status, Unknown) and status.value is not None:
                self._errors.add(status.name.number)
                self.revision += 1

    def _name_of(self, field: Field) -> str:
        return self.name(field.name.number) if isinstance(field, Unknown) else field[0]

    def _vary(self, parts: tuple[Part, ...], fields: Sequence[Field]) -> None:
        """Note what stood in the two places that may be :path and :authority."""
        places = tuple(pseudo_places(tuple([part if isinstance(part, str) else None for part in parts])))
        if len(places) == 2:
            seen = self._places.setdefault(places, (set(), set()))
            for place, values in zip(places, seen, strict=True):
                if len(values) < _NUMBERS:
                    values.add(parts[place])
        elif ":path" in parts[:4]:
            at = parts.index(":path")
            for both, seen in self._places.items():
                if at in both and len(seen[both.index(at)]) < _NUMBERS:
                    seen[both.index(at)].add(fields[at][1])

    def _deny(self, field: Field) -> None:
        """No encoder inserts what its table has: an entry inferred to be the same is something else."""
        name, value = field
        if value == "0" and len(self._zeros) < _NUMBERS:
            self._zeros.append(field)
            self.revision += 1
        for number in [number for number, (known, _) in self.values.items() if known == value]:
            if self.name(number) == name:
                del self.values[number]
                self.revision += 1

    # What follows from it

    def conclude(self) -> None:
        """Name what can be named; only where something new is known since the last time."""
        state = self.shared.version, len(self._patterns), sum(map(len, self._answers.values()))
        if state == self._tried or not self._patterns:
            return
        # Looking again is dear, and what is learnt late names little: ever rarer, at last every 1,024 exchanges.
        self._waited += 1
        if self._waited < 1 << min(10, max(0, self._runs - _EAGER)):
            return
        self._waited = 0
        self._runs += 1
        self._tried = state
        self.revision += 1
        pasts = self.shared.alike(self._past)
        how = SAME_ENDS if pasts and pasts[0].client == self._past.client else SAME_SERVER
        for kind, parts in self._patterns:
            fitting = self._name_parts(kind, parts, pasts, how)
            self._value_parts(parts, fitting, how)
        self._compare_answers()

    def _name_parts(self, kind: Kind, parts: tuple[Part, ...], pasts: list[Past], how: str) -> list[Past]:
        """Name the fields of one block; gives the connections that have such blocks."""
        known: Names = tuple([self._known(part) for part in parts])
        shapes = [(past, shape) for past in pasts for shape in past.fitting(kind, known)]
        for place, part in enumerate(parts):
            names = {shape[place] for _, shape in shapes}
            if isinstance(part, int) and known[place] is None and len(names) == 1:
                self.names[part] = names.pop() or "", how
        if kind is Kind.REQUEST and not shapes:
            self._name_pseudo(known, parts)
        return [past for past in pasts if any(past is one for one, _ in shapes)]

    def _known(self, part: Part) -> str | None:
        """The name of a field, as far as it is no guess from its place."""
        if isinstance(part, str):
            return part
        name, how = self.names.get(part, (None, ""))
        return None if how == PLACE else name

    def _name_pseudo(self, known: Names, parts: tuple[Part, ...]) -> None:
        options = pseudo_places(known)
        path = self._path_place(tuple(options), parts) if len(options) == 2 else None
        for place, names in options.items():
            part = parts[place]
            if isinstance(part, int):
                name = names[0] if path is None else ":path" if place == path else ":authority"
                self.names[part] = name, PLACE

    def _path_place(self, places: tuple[int, ...], parts: tuple[Part, ...]) -> int:
        """The one of two places that varies, or whose entry is newer than its neighbour's explains."""
        first, second = places
        seen = self._places.get(places)
        if seen is not None and len(seen[0]) != len(seen[1]):
            return second if len(seen[1]) > len(seen[0]) else first
        one, other = parts[first], parts[second]
        if isinstance(one, int) and isinstance(other, int) and other != one + 1:
            return second if other > one else first
        return usual_path((first, second))

    def _value_parts(self, parts: tuple[Part, ...], pasts: list[Past], how: str) -> None:
        facts: dict[int, tuple[str, str | None]] = {
            number: (name, None) for number, (name, why) in self.names.items() if why != PLACE
        }
        facts.update(self._literal)
        for part in parts:
            name = self._known(part)
            if isinstance(part, str) or part in self.values or name is None or name in FLEETING:
                continue
            value = aligned_value(pasts, facts, part, name)
            if value is None and name != ":path":
                value = steady_value(pasts, name)
            if value is not None and (name, value) not in self._literal.values():
                self.values[part] = value, how

    def _compare_answers(self) -> None:
        """Name a path by answers that only one path had."""
        signatures = self.shared.signatures
        for number, seen in self._answers.items():
            paths = {signatures[one] for one in seen if one in signatures}
            if len(paths) == 1 and number not in self.values and self.name(number) == ":path":
                path = paths.pop()
                if path is not None and (":path", path) not in self._literal.values():
                    self.values[number] = path, ALIKE

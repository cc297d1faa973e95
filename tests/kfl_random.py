"""Random filters over a schema with every type, and random values for it; for the differential test.

Most are well typed; some are not, since both sides must refuse the same ones.
"""

from __future__ import annotations

from random import Random

from kfl_talk import Shop

from pysniff.kfl.schema import Schema, Variable
from pysniff.kfl.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    ListType,
    MapType,
    Type,
)
from pysniff.kfl.values import Duration, Timestamp, UInt

SECOND = 1_000_000_000
NOW = 1_770_000_000 * SECOND

TYPES: dict[str, Type] = {
    "b": BOOL,
    "http": BOOL,
    "i": INT,
    "dst.port": INT,
    "u": UINT,
    "d": DOUBLE,
    "s": STRING,
    "src.ip": STRING,
    "y": BYTES,
    "t": TIMESTAMP,
    "r": DURATION,
    "x": DYN,
    "names": ListType(STRING),
    "numbers": ListType(INT),
    "any": ListType(DYN),
    "nested": ListType(ListType(INT)),
    "request.headers": MapType(STRING, STRING),
    "counts": MapType(STRING, INT),
    "byport": MapType(INT, STRING),
    "mixed": MapType(STRING, DYN),
}

INTS = (0, 1, 2, 3, -1, 7, 80, 443, (1 << 63) - 1, -(1 << 63), 1 << 32)
UINTS = (0, 1, 2, 80, (1 << 64) - 1)
DOUBLES = (0.0, -0.0, 1.0, 1.5, -2.5, 80.0, 1e10, 0.1, 1e300, float("inf"), float("nan"))
STRINGS = (
    "",
    "a",
    "b",
    "GET",
    "/api/v1",
    "é",
    "10.0.0.1",
    "80",
    "-1",
    "1.5",
    "true",
    "aa",
    "a\nb",
    "\U0001f600",
    "x-y",
)
BYTESES = (b"", b"a", b"ab", b"\xff", "é".encode())
# In microseconds: Python's datetime, which the oracle takes, has no more.
TIMES = (0, NOW, NOW - 3600 * SECOND, 1000, -SECOND * 86_400 * 365 * 30 - 5000, 4_000_000_000 * SECOND)
DURATIONS = (0, 1000, SECOND, -SECOND, 90 * 60 * SECOND, -1_500_000_000, 25 * 3600 * SECOND + 123_456_000)
PATTERNS = ("a", "^/api", "^$", "[0-9]+", "(a|b)+", "é", "^(a+)+$", r"\\d", "(?i)get", ".", "x*", "(", "[", r"\\pL")
WHENS = (
    "2026-02-02T02:40:00Z", "1970-01-01T00:00:00Z", "2026-02-02T02:40:00.123456789+02:00", "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2024-02-29T12:00:00-07:30", "x", "",
)  # fmt: skip
SPANS = ("0s", "1h", "90m", "-1.5s", "10ms", "1h30m", "100us", "5ns", "1d", "", "2562047h", "24h", ".5s")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "+02:00", "-07:30", "05:30", "Asia/Kolkata")
PARTS = (
    "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes",
    "getSeconds", "getMilliseconds",
)  # fmt: skip
NAMES = ("p", "q", "i")  # of macros' variables; one hides a variable of the schema
FIELDS = ("a", "b", "host", "GET")


def schema() -> Schema:
    def variable(name: str, kind: Type) -> Variable:
        return Variable(name, kind, "", "", lambda entry: entry.values[name])  # type: ignore[attr-defined]

    return Schema(variable(name, kind) for name, kind in TYPES.items())


def value(random: Random, kind: Type, depth: int = 2) -> object:
    """A value of the type, as a reader gives it."""
    if isinstance(kind, ListType):
        return [wrapped(random, kind.of, depth - 1) for _ in range(random.choice((0, 1, 2, 3)))]
    if isinstance(kind, MapType):
        keys = [wrapped(random, kind.key) for _ in range(random.choice((0, 1, 2)))]
        if kind.key == STRING:
            keys = random.sample(FIELDS, random.choice((0, 1, 2, 3)))
        return {key: wrapped(random, kind.value, depth - 1) for key in keys}
    if kind == DYN:
        kinds: tuple[Type, ...] = (BOOL, INT, DOUBLE, STRING, BYTES)  # the oracle takes no others without a type
        if depth > 0:
            kinds += (ListType(DYN), MapType(STRING, DYN), ListType(INT))
        return None if random.random() < 0.05 else wrapped(random, random.choice(kinds), depth - 1)
    pools: dict[Type, tuple[object, ...]] = {
        BOOL: (True, False), INT: INTS, UINT: UINTS, DOUBLE: DOUBLES, STRING: STRINGS, BYTES: BYTESES,
        TIMESTAMP: TIMES, DURATION: DURATIONS,
    }  # fmt: skip
    return random.choice(pools[kind])


def wrapped(random: Random, kind: Type, depth: int = 2) -> object:
    """The same as values inside of others are."""
    plain = value(random, kind, depth)
    wrappers: dict[Type, type[int]] = {UINT: UInt, TIMESTAMP: Timestamp, DURATION: Duration}
    return wrappers[kind](plain) if kind in wrappers else plain  # type: ignore[call-overload]


def values(random: Random) -> Shop:
    return Shop(**{name: value(random, kind) for name, kind in TYPES.items()})


def quoted(text: str) -> str:
    return '"' + text.replace("\n", "\\n") + '"'


class Writer:
    """Writes expressions of the type that is asked for, mostly."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.locals: list[tuple[str, Type]] = []

    def filter(self) -> str:
        return self.of(BOOL, self.random.choice((1, 2, 3, 3, 4)))

    def pick(self, *choices: str) -> str:
        return self.random.choice(choices)

    def variable(self, kind: Type) -> str | None:
        hidden = {name for name, _ in self.locals}
        known = [(name, one) for name, one in TYPES.items() if name not in hidden]
        inner = dict(self.locals)  # the innermost of each name
        names = [name for name, one in (*known, *inner.items()) if one == kind]
        return self.random.choice(names) if names else None

    def of(self, kind: Type, depth: int) -> str:
        chance = self.random.random()
        if chance < 0.01:  # of another type: to be refused, mostly
            kind = self.random.choice(list(TYPES.values()))
        elif chance < 0.05 and depth > 0:
            return f"dyn({self.of(self.random.choice(list(TYPES.values())), depth - 1)})"
        if depth <= 0 or chance < 0.15:
            name = self.variable(kind)
            if name is not None and self.random.random() < 0.6:
                return name
            return self.literal(kind, depth)
        if chance < 0.22:
            return f"({self.of(BOOL, depth - 1)} ? {self.of(kind, depth - 1)} : {self.of(kind, depth - 1)})"
        if chance < 0.30:
            return self.element(kind, depth)
        if isinstance(kind, ListType):
            return self.a_list(kind, depth)
        if isinstance(kind, MapType):
            return self.variable(kind) or self.literal(kind, depth)
        ways = {
            BOOL: self.a_bool, INT: self.a_int, UINT: self.a_uint, DOUBLE: self.a_double, STRING: self.a_string,
            BYTES: self.a_bytes, TIMESTAMP: self.a_timestamp, DURATION: self.a_duration, DYN: self.a_dyn,
        }  # fmt: skip
        return ways[kind](depth) if kind in ways else self.literal(kind, depth)

    def element(self, kind: Type, depth: int) -> str:
        """Out of a list or a map."""
        way = self.random.randrange(5)
        if way == 0:
            return f"{self.of(ListType(kind), depth - 1)}[{self.of(INT, depth - 2)}]"
        if way == 1:
            return f"{self.of(MapType(STRING, kind), depth - 1)}[{self.of(STRING, depth - 2)}]"
        if way == 2 and kind in (STRING, INT, DYN):
            return f"{ {STRING: 'request.headers', INT: 'counts', DYN: 'mixed'}[kind] }.{self.pick(*FIELDS)}"
        if way == 3 and kind == STRING:
            return f"byport[{self.of(INT, depth - 1)}]"
        return f"[{self.of(kind, depth - 1)}, {self.of(kind, depth - 1)}][{self.pick('0', '1', '2', '-1')}]"

    def literal(self, kind: Type, depth: int) -> str:
        if isinstance(kind, ListType):
            count = self.random.choice((0, 1, 2, 3))
            return "[" + ", ".join(self.of(kind.of, depth - 1) for _ in range(count)) + "]"
        if isinstance(kind, MapType):
            count = self.random.choice((0, 1, 2))
            pairs = [f"{self.of(kind.key, 0)}: {self.of(kind.value, depth - 1)}" for _ in range(count)]
            return "{" + ", ".join(pairs) + "}"
        if kind == DYN:
            if self.random.random() < 0.2:
                return "null"
            return f"dyn({self.literal(self.random.choice((BOOL, INT, UINT, DOUBLE, STRING, BYTES)), depth)})"
        return self.scalar(kind)

    def scalar(self, kind: Type) -> str:
        random = self.random
        if kind == BOOL:
            return self.pick("true", "false")
        if kind == INT:
            number = random.choice(INTS)
            return self.pick(str(number), str(number), hex(number))
        if kind == UINT:
            return f"{random.choice(UINTS)}u"
        if kind == DOUBLE:
            return repr(random.choice(DOUBLES[:-2]))
        if kind == STRING:
            return self.pick(
                quoted(random.choice(STRINGS)), quoted(random.choice(STRINGS)), "r'a\\b'", "'''a'b'''", '"\\u00e9"'
            )
        if kind == BYTES:
            return self.pick('b"a"', 'b""', 'b"\\xff"', 'b"é"', "br'\\x'")
        if kind == TIMESTAMP:
            return f"timestamp({quoted(random.choice(WHENS))})"
        if kind == DURATION:
            return f"duration({quoted(random.choice(SPANS))})"
        return "null"

    # Types

    def a_bool(self, depth: int) -> str:
        random, less = self.random, depth - 1
        way = random.randrange(20)
        if way < 4:
            kind = random.choice((INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION, BOOL, DYN))
            return f"{self.of(kind, less)} {self.pick('==', '!=', '<', '<=', '>', '>=')} {self.of(kind, less)}"
        if way < 7:
            parts = [self.parted(less) for _ in range(random.choice((2, 2, 3)))]
            return "(" + self.pick(" && ", " || ").join(parts) + ")"
        if way == 7:
            return f"!({self.of(BOOL, less)})"
        if way == 8:
            method = self.pick("contains", "startsWith", "endsWith")
            return f"{self.of(STRING, less)}.{method}({self.of(STRING, less)})"
        if way == 9:
            pattern = quoted(random.choice(PATTERNS)) if random.random() < 0.8 else self.of(STRING, less)
            return f"{self.of(STRING, less)}.matches({pattern})"
        if way == 10:
            kind = random.choice((INT, STRING, DYN, DOUBLE, ListType(INT)))
            return f"{self.of(kind, less)} in {self.of(ListType(kind), less)}"
        if way == 11:
            key = random.choice((STRING, INT))
            return f"{self.of(key, less)} in {self.of(MapType(key, random.choice((STRING, INT, DYN))), less)}"
        if way == 12:
            return f"has({self.pick('request.headers', 'counts', 'mixed', 'x', 'mixed.a')}.{self.pick(*FIELDS)})"
        if way < 16:
            return self.quantified(less)
        if way == 16:
            kind = random.choice(list(TYPES.values()))
            return f"{self.of(kind, less)} {self.pick('==', '!=')} {self.of(kind, less)}"
        if way == 17:
            kind = random.choice((INT, UINT, DOUBLE, STRING, DYN, TIMESTAMP, ListType(INT)))
            names = ("int", "uint", "double", "string", "list", "null_type", "google.protobuf.Timestamp")
            return f"type({self.of(kind, less)}) == {self.pick(*names)}"
        if way == 18:
            return f"bool({self.of(STRING, less)})"
        kind = random.choice((INT, DOUBLE, UINT, STRING))
        return f"{self.of(DYN, less)} {self.pick('==', '<', '>=')} {self.of(kind, less)}"

    def parted(self, depth: int) -> str:
        """A part of && and ||; some are not in parentheses."""
        text = self.of(BOOL, depth)
        return text if self.random.random() < 0.3 else f"({text})"

    def scoped(self, kind: Type, element: Type, name: str, depth: int) -> str:
        self.locals.append((name, element))
        text = self.of(kind, depth)
        self.locals.pop()
        return text

    def quantified(self, depth: int) -> str:
        macro, name = self.pick("all", "exists", "exists_one"), self.pick(*NAMES)
        of, text = self.range(depth)
        return f"{text}.{macro}({name}, {self.scoped(BOOL, of, name, depth)})"

    def range(self, depth: int) -> tuple[Type, str]:
        """A list or map, and what a macro goes through."""
        if self.random.random() < 0.25:
            key = self.random.choice((STRING, STRING, INT))
            return key, self.of(MapType(key, self.random.choice((STRING, INT, DYN))), depth)
        of = self.random.choice((INT, STRING, DYN, INT, STRING, DOUBLE, ListType(INT)))
        return of, self.of(ListType(of), depth)

    def a_list(self, kind: ListType, depth: int) -> str:
        way, less = self.random.randrange(4), depth - 1
        if way == 0:
            return f"({self.of(kind, less)} + {self.of(kind, less)})"
        name = self.pick(*NAMES)
        if way == 1:
            of, text = self.range(less)
            tests = f"{self.scoped(BOOL, of, name, less)}, " if self.random.random() < 0.3 else ""
            return f"{text}.map({name}, {tests}{self.scoped(kind.of, of, name, less)})"
        if way == 2:
            return f"{self.of(kind, less)}.filter({name}, {self.scoped(BOOL, kind.of, name, less)})"
        return self.literal(kind, depth)

    def operation(self, kind: Type, signs: str, depth: int) -> str:
        return f"({self.of(kind, depth - 1)} {self.random.choice(signs)} {self.of(kind, depth - 1)})"

    def a_int(self, depth: int) -> str:
        random, less = self.random, depth - 1
        way = random.randrange(9)
        if way < 3:
            return self.operation(INT, "+-*/%", depth)
        if way == 3:
            kind = random.choice((STRING, BYTES, ListType(INT), MapType(STRING, INT)))
            return self.pick(f"size({self.of(kind, less)})", f"{self.of(kind, less)}.size()")
        if way == 4:
            return f"int({self.of(random.choice((INT, UINT, DOUBLE, STRING, TIMESTAMP)), less)})"
        if way == 5:
            return f"-({self.of(INT, less)})" if random.random() < 0.7 else f"-{self.of(INT, 0)}"
        if way == 6:
            zone = quoted(random.choice(ZONES)) if random.random() < 0.5 else ""
            return f"{self.of(TIMESTAMP, less)}.{self.pick(*PARTS)}({zone})"
        if way == 7:
            return f"{self.of(DURATION, less)}.{self.pick(*PARTS[6:])}()"
        return self.operation(INT, "+-", depth)

    def a_uint(self, depth: int) -> str:
        if self.random.random() < 0.4:
            return f"uint({self.of(self.random.choice((INT, UINT, DOUBLE, STRING)), depth - 1)})"
        return self.operation(UINT, "+-*/%", depth)

    def a_double(self, depth: int) -> str:
        if self.random.random() < 0.3:
            return f"double({self.of(self.random.choice((INT, UINT, DOUBLE, STRING)), depth - 1)})"
        if self.random.random() < 0.2:
            return f"-({self.of(DOUBLE, depth - 1)})"
        return self.operation(DOUBLE, "+-*/", depth)

    def a_string(self, depth: int) -> str:
        if self.random.random() < 0.4:
            kinds = (BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION)
            return f"string({self.of(self.random.choice(kinds), depth - 1)})"
        return self.operation(STRING, "+", depth)

    def a_bytes(self, depth: int) -> str:
        if self.random.random() < 0.5:
            return f"bytes({self.of(self.random.choice((STRING, BYTES)), depth - 1)})"
        return self.operation(BYTES, "+", depth)

    def a_timestamp(self, depth: int) -> str:
        less, way = depth - 1, self.random.randrange(4)
        if way == 0:
            return f"timestamp({self.of(self.random.choice((INT, STRING, TIMESTAMP)), less)})"
        if way == 1:
            return f"({self.of(DURATION, less)} + {self.of(TIMESTAMP, less)})"
        return f"({self.of(TIMESTAMP, less)} {self.pick('+', '-')} {self.of(DURATION, less)})"

    def a_duration(self, depth: int) -> str:
        less, way = depth - 1, self.random.randrange(4)
        if way == 0:
            return f"duration({self.of(self.random.choice((STRING, STRING, DURATION)), less)})"
        if way == 1:
            return f"({self.of(TIMESTAMP, less)} - {self.of(TIMESTAMP, less)})"
        return self.operation(DURATION, "+-", depth)

    def a_dyn(self, depth: int) -> str:
        less = depth - 1
        way = self.random.randrange(4)
        if way == 0:
            kind = self.random.choice((INT, DYN, DOUBLE))
            return f"{self.of(DYN, less)} {self.pick('+', '-', '*', '/')} {self.of(kind, less)}"
        if way == 1:
            return f"{self.of(DYN, less)}.{self.pick(*FIELDS)}"
        if way == 2:
            return f"{self.of(DYN, less)}[{self.of(self.random.choice((INT, STRING)), less)}]"
        return f"dyn({self.of(self.random.choice(list(TYPES.values())), less)})"

"""Header fields that were concluded, not read: what they look like, and what gRPC leaves no choice about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pysniff.dissectors.hpack import Field, Marked, Unknown
from pysniff.dissectors.http2_earlier import NO_WORDS, Earlier
from pysniff.dissectors.http2_orders import FIXED, Kind, Names, grpc_names

BODY = "from the body, which is gRPC"
ANSWERED = "from the answer, which has messages and no words of an error"


class Inferred(Marked):
    """A name and a value; `how`: from what, in words. Not `valued`: the value was read, only the name was not."""

    how: str
    valued: bool

    @classmethod
    def of(cls, name: str, value: str, how: str, *, valued: bool = True) -> Inferred:
        field = cls((name, value))
        field.how = how
        field.valued = valued
        return field

    def with_value(self, value: str) -> Field:
        return Inferred.of(self[0], value, self.how, valued=False)


class NameOnly(Unknown):
    """A field of which the name is inferred: its value still reads `?-12`."""

    how: str

    @classmethod
    def named(cls, name: str, field: Unknown, how: str) -> NameOnly:
        it = cls((name, field[1]))
        it.name = field.name
        it.value = field.value
        it.how = how
        return it


def conclude(half: Earlier, kind: Kind, fields: Sequence[Field], *, grpc: bool) -> Sequence[Field]:
    """A block with what is known by now; `grpc`: the body of its message is."""
    found = [_known(half, field) if isinstance(field, Unknown) else field for field in fields]
    if grpc:
        found = _grpc_status(half, found) if kind is Kind.TRAILERS else _grpc_fixed(kind, found)
    return found


def _known(half: Earlier, field: Unknown) -> Field:
    number = field.name.number
    name, how = half.names.get(number, ("", ""))
    if not name:
        return field
    if field.value is None:  # it was sent
        return Inferred.of(name, field[1], how, valued=False)
    value, why = half.values.get(number, ("", ""))
    return Inferred.of(name, value, why) if why else NameOnly.named(name, field, how)


def _grpc_fixed(kind: Kind, fields: list[Field]) -> list[Field]:
    """With content-type and te of a request, which all implementations send alike in every call."""
    names: Names = tuple([None if type(field) is Unknown else field[0] for field in fields])
    for place, name in enumerate(grpc_names(kind, names)):
        field = fields[place]
        if name is not None and isinstance(field, Unknown) and field.value is not None:
            if kind is Kind.REQUEST and name in FIXED:  # grpc-js answers with application/grpc+proto
                fields[place] = Inferred.of(name, FIXED[name], BODY)
            elif type(field) is Unknown:
                fields[place] = NameOnly.named(name, field, BODY)
    return fields


def _grpc_status(half: Earlier, fields: list[Field]) -> list[Field]:
    """Trailers behind messages: an unknown status is 0 where no word of an error stands beside it."""
    status = fields[0] if 1 <= len(fields) <= 2 else None
    if not isinstance(status, Unknown) or status.value is None:
        return fields
    message = fields[1] if len(fields) > 1 else None
    doubtful = isinstance(message, Unknown) and message.value is not None
    if message is not None and not doubtful and message[1] not in NO_WORDS:
        return fields
    if half.usual_status(status.name.number, strict=doubtful):
        fields[0] = Inferred.of("grpc-status", "0", ANSWERED)
    return fields


def words(fields: Iterable[Field]) -> str:
    """What was inferred and how, for a Fault; "" where nothing was."""
    reasons: dict[str, list[str]] = {}
    for field in fields:
        if isinstance(field, (Inferred, NameOnly)):
            whole = isinstance(field, Inferred) and field.valued
            what = field[0] if whole else f"the name {field[0]}"
            if what not in reasons.setdefault(field.how, []):
                reasons[field.how].append(what)
    return "; ".join([f"{', '.join(names)} {how}" for how, names in reasons.items()])

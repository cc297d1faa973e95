"""Which types a generic signature takes: assignability, with type parameters bound on the way.

As in Google's checkers: dyn goes with everything, null with timestamps and durations, and a parameter bound to one
type is widened when a more general one comes (int, then dyn: dyn).
"""

from __future__ import annotations

from pysniff.kfl.types import DURATION, DYN, NULL, TIMESTAMP, ListType, MapType, Type

_NULLABLE = frozenset((TIMESTAMP, DURATION))


class Parameter(Type):
    """A type that is not known yet: of an empty list's elements, or in a signature. Each is its own."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("_")


Bindings = dict[Parameter, Type]


def made_of(kind: Type, parts: list[Type]) -> Type:
    """The same list or map with other parts."""
    if isinstance(kind, ListType):
        return ListType(parts[0])
    return MapType(parts[0], parts[1]) if isinstance(kind, MapType) else kind


def resolved(kind: Type, bindings: Bindings) -> Type:
    """With every bound parameter replaced."""
    while isinstance(kind, Parameter):
        if kind not in bindings:
            return kind
        kind = bindings[kind]
    return made_of(kind, [resolved(part, bindings) for part in kind.parts]) if kind.parts else kind


def finished(kind: Type, bindings: Bindings) -> Type:
    """The same, and dyn for parameters that nothing bound."""
    kind = resolved(kind, bindings)
    if isinstance(kind, Parameter):
        return DYN
    return made_of(kind, [finished(part, bindings) for part in kind.parts]) if kind.parts else kind


def assignable(given: Type, wanted: Type, bindings: Bindings) -> bool:
    """Whether a value of the type `given` may stand where `wanted` is; binds parameters, also where it is not."""
    given, known = resolved(given, bindings), resolved(wanted, bindings)
    if given == known:
        return True
    if isinstance(known, Parameter):
        return _bind(known, given, bindings)
    if isinstance(given, Parameter):
        return _bind(given, known, bindings)
    if isinstance(wanted, Parameter) and _more_general(given, known) and assignable(known, given, bindings):
        return _bind(_last(wanted, bindings), given, bindings)
    if DYN in (given, known):
        return True
    if NULL in (given, known):
        return given in _NULLABLE or known in _NULLABLE
    # The parts as they were wanted: a parameter in them may still be widened.
    parts = (wanted if wanted.parts else known).parts
    return (
        given.name == known.name
        and len(given.parts) == len(parts)
        and all(assignable(one, other, bindings) for one, other in zip(given.parts, parts, strict=True))
    )


def joined(types: list[Type], bindings: Bindings) -> Type:
    """The type of a list's elements: one that takes all, or dyn."""
    whole = Parameter()
    for kind in types:
        trial = dict(bindings)
        if not assignable(kind, whole, trial):
            return DYN
        bindings.update(trial)
    return resolved(whole, bindings)


def _bind(parameter: Parameter, kind: Type, bindings: Bindings) -> bool:
    if _occurs(parameter, kind):
        return False
    bindings[parameter] = kind
    return True


def _occurs(parameter: Parameter, kind: Type) -> bool:
    return kind is parameter or any(_occurs(parameter, part) for part in kind.parts)


def _last(parameter: Parameter, bindings: Bindings) -> Parameter:
    """The one that is bound to a type, where parameters are bound to parameters."""
    while isinstance(other := bindings.get(parameter), Parameter):
        parameter = other
    return parameter


def _more_general(one: Type, other: Type) -> bool:
    """Whether `one` takes all that `other` does, and more."""
    if one == other or isinstance(one, Parameter):
        return False
    if one == DYN or isinstance(other, Parameter):
        return True
    if other == NULL:
        return one in _NULLABLE
    if one.name != other.name or len(one.parts) != len(other.parts):
        return False
    pairs = list(zip(one.parts, other.parts, strict=True))
    return any(_more_general(*pair) for pair in pairs) and not any(_more_general(b, a) for a, b in pairs)

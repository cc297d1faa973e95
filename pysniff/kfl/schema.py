"""The variables that a filter may name: one table for the checker, the completion and the documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, overload

from pysniff.kfl.types import Type

if TYPE_CHECKING:
    from pysniff.entry import Entry


class Variable(NamedTuple):
    """One fact about an entry.

    `name`: dots belong to it, `src.ip` is one variable. `meaning`: one line. `section`: the heading it stands under.
    `read`: its value for one entry, and its type's default where the entry lacks it; never raises on a well-formed
    entry. Values are bool, int, float, str, bytes, list or tuple, dict; a timestamp is nanoseconds since the epoch,
    a duration nanoseconds. (Inside a list or map those two and uint are the classes of values.py.) The fastest
    `read` is an operator.attrgetter: filters have its attributes in their code instead of a call.
    """

    name: str
    type: Type
    meaning: str
    section: str
    read: Callable[[Entry], object]


class Rows(Sequence[Variable]):
    """VARIABLES of a module, which is imported when somebody asks for them."""

    def __init__(self, module: str) -> None:
        self._module = module

    def _rows(self) -> Sequence[Variable]:
        rows: Sequence[Variable] = import_module(self._module).VARIABLES
        return rows

    @overload
    def __getitem__(self, place: int) -> Variable: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Variable]: ...

    def __getitem__(self, place: int | slice) -> Variable | Sequence[Variable]:
        return self._rows()[place]

    def __len__(self) -> int:
        return len(self._rows())


class Schema:
    """Variables by name, in order; immutable."""

    __slots__ = ("_variables", "_stems")

    def __init__(self, variables: Iterable[Variable]) -> None:
        """Raise ValueError where two have one name."""
        self._variables: dict[str, Variable] = {}
        for variable in variables:
            if variable.name in self._variables:
                raise ValueError(f"two variables are named {variable.name}")
            self._variables[variable.name] = variable
        self._stems = frozenset(name[:at] for name in self._variables for at, char in enumerate(name) if char == ".")

    def get(self, name: str) -> Variable | None:
        return self._variables.get(name)

    def is_stem(self, name: str) -> bool:
        """Whether a variable's name goes on with a dot after this: `src` of `src.ip`."""
        return name in self._stems

    def nearest(self, name: str) -> str | None:
        """The name that was perhaps meant."""
        return nearest(name, self._variables)

    def __iter__(self) -> Iterator[Variable]:
        return iter(self._variables.values())

    def __len__(self) -> int:
        return len(self._variables)

    def __contains__(self, name: object) -> bool:
        return name in self._variables


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that was perhaps meant by `name`; long ones, which nobody mistypes, are not looked at."""
    if len(name) > 64:
        return None
    lower = {known.lower(): known for known in names}
    close = get_close_matches(name.lower(), lower, n=1)
    return lower[close[0]] if close else None

"""What a hub asks, read strictly: every parameter has its type and range, and one that nobody knows is a mistake."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

from pysniff.capture.exclusion import MOST, Endpoint
from pysniff.errors import OptionError

# Ends whose traffic is left out of the capture.
MOST_EXCLUDED = MOST
# Times are nanoseconds in 64 bits.
_FIRST, _LAST = -(1 << 63), (1 << 63) - 1


class Params:
    """Of one request. Each getter takes its parameter out and raises OptionError for a wrong value; nil is as if it
    were missing. done() raises it for what is left."""

    def __init__(self, params: Mapping[str, object]) -> None:
        self._left = dict(params)

    def text(self, name: str, most: int) -> str:
        value = self._left.pop(name, None)
        if value is None:
            return ""
        if not isinstance(value, str) or len(value) > most:
            raise OptionError(f"{name}: not text of at most {most} characters")
        return value

    def flag(self, name: str) -> bool:
        value = self._left.pop(name, None)
        if not isinstance(value, bool | None):
            raise OptionError(f"{name}: neither true nor false")
        return value is True

    def whole(self, name: str, least: int, most: int) -> int | None:
        value = self._left.pop(name, None)
        if value is not None and (type(value) is not int or not least <= value <= most):
            raise OptionError(f"{name}: not a whole number from {least} to {most}")
        return value

    def time(self, name: str) -> int | None:
        return self.whole(name, _FIRST, _LAST)

    def endpoints(self, name: str) -> list[Endpoint] | None:
        """[address, port] each; None where it is missing."""
        value = self._left.pop(name, None)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) > MOST_EXCLUDED:
            raise OptionError(f"{name}: not a list of at most {MOST_EXCLUDED} ends")
        return [_endpoint(name, one) for one in value]

    def table(self, name: str, most: int) -> dict[str, object] | None:
        """A map of at most so many keys; None where it is missing."""
        value = self._left.pop(name, None)
        if value is not None and (not isinstance(value, dict) or len(value) > most):
            raise OptionError(f"{name}: not a map of at most {most} keys")
        return value

    def done(self) -> None:
        if self._left:
            raise OptionError(f"{sorted(map(str, self._left))[0][:64]!r}: no such parameter")


def _endpoint(name: str, value: object) -> Endpoint:
    match value:
        case [str() as host, int() as port] if 0 < port < 65536:
            try:
                return str(ip_address(host)), port
            except ValueError:
                pass
    raise OptionError(f"{name}: {str(value)[:64]} is no address with a port")

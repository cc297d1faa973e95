"""What the heads of a gRPC call say of it: its content, its name, and whether it has ended."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from pysniff.dissectors.http import Fields, HttpMessage, HttpRequest, HttpResponse
from pysniff.limits import Limits
from pysniff.protobuf.schema import Schemas

_CONTENT_TYPE = re.compile(r"application/grpc(-web)?(-text)?(?:\+([a-z0-9.-]+))?[ \t]*(?:;|$)", re.IGNORECASE).match


class Kind(NamedTuple):
    """What a Content-Type says. `subtype`: proto, json, or "" for what is not said, which is proto too."""

    web: bool
    base64: bool
    subtype: str


_LONG = 128  # of a Content-Type that is remembered
# Of a message joined in the middle whose Content-Type nobody knows.
ASSUMED = Kind(False, False, "")


def kind_of(http: HttpMessage) -> Kind | None:
    """What the Content-Type says, None where that is not gRPC's; where nobody knows it, what only gRPC has says it."""
    value = http.content_type
    if value and value[0] != "?":
        return read_type(value)
    return ASSUMED if _says(http) else None


def _read_type(content_type: str) -> Kind | None:
    found = _CONTENT_TYPE(content_type)
    if found is None or (found[2] and not found[1]):
        return None
    return Kind(found[1] is not None, found[2] is not None, (found[3] or "").lower())


_remembered = lru_cache(256)(_read_type)


def read_type(content_type: str) -> Kind | None:
    """What a Content-Type says, None where it is not gRPC's."""
    return _remembered(content_type) if len(content_type) <= _LONG else _read_type(content_type)


def _says(http: HttpMessage) -> bool:
    """Whether it has a field that only gRPC has."""
    return any(name.startswith("grpc-") for fields in (http.headers, http.trailers) for name, _ in fields)


class Call:
    """What a request and its response know of each other, and what both are read with."""

    __slots__ = ("request", "response", "limits", "schemas", "_names")

    def __init__(
        self, request: HttpRequest | None, response: HttpResponse | None, limits: Limits, schemas: Schemas
    ) -> None:
        self.request = request
        self.response = response
        self.limits = limits
        self.schemas = schemas
        self._names: tuple[str, str] | None = None

    @property
    def names(self) -> tuple[str, str]:
        """Service and method: what stands before the last slash of the path, and behind it."""
        names = self._names
        if names is None:
            path = "" if self.request is None else self.request.path
            service, _, method = path.rpartition("/")
            names = self._names = service.removeprefix("/"), method
        return names

    @property
    def ended(self) -> bool:
        """Whether the server has said how the call ended: a message without its end is cut, not on its way."""
        response = self.response
        return response is not None and bool(
            last_of(response.trailers, "grpc-status") or response.header("grpc-status")
        )


def last_of(fields: Fields, name: str) -> str:
    for known, value in reversed(fields):
        if known.lower() == name:
            return value
    return ""

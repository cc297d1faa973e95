"""The absolute URL of a request that was seen on the wire, where only its target and its Host stand."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import NamedTuple
from urllib.parse import quote

from pysniff.dissectors.http import HttpRequest
from pysniff.entry import Endpoint, Entry

# What may stand in a URL (RFC 3986 §2), "%" included; anything else is percent-encoded, as browsers do.
_URL = "!#$%&'()*+,/:;=?@[]~"
_HOST = re.compile(r"(?:[\w.-]{1,255}|\[([0-9A-Fa-f:.]{2,45})\])(?::([0-9]{1,5}))?", re.ASCII)
_PORTS = {"http": 80, "https": 443}


class Place(NamedTuple):
    """Where a request went: `authority` is that of its Host where this can be one, else that of its packets."""

    scheme: str
    authority: str
    server: str

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"


def place_of(entry: Entry) -> Place:
    """Of any entry of HTTP; the request may be missing."""
    request = entry.request
    scheme = getattr(request, "scheme", "") if request is not None else ""
    if entry.tls is not None:
        scheme = "https"
    elif scheme not in _PORTS:
        scheme = "http"
    host = request.host if isinstance(request, HttpRequest) else ""
    server = _authority(entry.dst, _PORTS[scheme])
    return Place(scheme, host if _is_authority(host) else server, server)


def url_of(entry: Entry) -> str:
    """The effective request URI (RFC 9110 §7.1), plain ASCII whatever was sent."""
    place, request = place_of(entry), entry.request
    target = request.url if isinstance(request, HttpRequest) else ""
    if target[:1] == "/":
        return place.origin + quote(target, safe=_URL, errors="replace")
    if target in ("", "*") or request.method == "CONNECT":
        return place.origin
    if re.match(r"https?://", target, re.IGNORECASE):
        return quote(target, safe=_URL, errors="replace")
    # Not seen, or nothing that RFC 9112 §3.2 knows.
    return f"{place.origin}/{quote(target, safe='')}"


def _is_authority(host: str) -> bool:
    match = _HOST.fullmatch(host)
    if match is None or int(match[2] or 0) > 65_535:
        return False
    try:
        return match[1] is None or IPv6Address(match[1]).version == 6
    except ValueError:
        return False


def _authority(end: Endpoint, default: int) -> str:
    host = f"[{end.ip}]" if ":" in end.ip else end.ip
    return host if end.port == default else f"{host}:{end.port}"

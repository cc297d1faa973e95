"""What the fields and targets of HTTP say, and its records as docs/schema.json has them.

Functions of values, so that they can be compiled; the classes of messages stay Python, for plugins derive from them.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from pysniff.body import Body

Fields = tuple[tuple[str, str], ...]
_PARAMETERS = 1_000  # of a query
_NO_BODY = Body(b"", 0).to_dict(0)


def request_record(target: tuple[str, str], host: str, common: dict[str, Any]) -> dict[str, Any]:
    """Of a request: `host` as its field says it, `common` what common_record() gave."""
    method, url = target
    authority, path = ("", url.partition("?")[0]) if url[:1] == "/" else split_target(url)
    record: dict[str, Any] = {
        "method": method,
        "url": url,
        "path": path,
        "query": listed(query_of(url)) if "?" in url else [],
        "host": host or authority,
    }
    record.update(common)
    return record


def response_record(status: int, reason: str, common: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {"status": status, "reason": reason}
    record.update(common)
    return record


def common_record(
    headers: Fields, trailers: Fields, cookies: Fields, headers_size: int, body: dict[str, Any] | None
) -> dict[str, Any]:
    """What both have; `body`: its record, None where there is none."""
    return {
        "headers": listed(headers),
        "trailers": listed(trailers),
        "cookies": listed(cookies),
        "headers_size": headers_size,
        "body": _NO_BODY.copy() if body is None else body,
    }


def listed(fields: Fields) -> list[list[str]]:
    """As JSON has them."""
    return [[name, value] for name, value in fields]


def index_of(fields: Fields) -> dict[str, str]:
    """Values by name in lower case; several of one name are joined with ", " (RFC 9110 §5.3)."""
    index = {name.lower(): value for name, value in fields}
    if len(index) < len(fields):
        index.clear()
        for name, value in fields:
            name = name.lower()
            index[name] = f"{index[name]}, {value}" if name in index else value
    return index


def split_target(target: str) -> tuple[str, str]:
    """Authority and path of a request target (RFC 9112 §3.2)."""
    if target[:1] == "/" or target == "*":
        return "", target.partition("?")[0]
    _, colon, rest = target.partition("://")
    if not colon:
        return target, ""
    authority, slash, path = rest.partition("?")[0].partition("/")
    return authority, slash + path


def query_of(target: str) -> Fields:
    """The parameters of the query, percent-decoded."""
    query = target.partition("?")[2].partition("#")[0]
    if not query:
        return ()
    if "%" not in query and "+" not in query and query.count("&") < _PARAMETERS:
        parted = [pair.partition("=") for pair in query.split("&") if pair]
        return tuple([(name, value) for name, _, value in parted])
    return tuple(parse_qsl("&".join(query.split("&", _PARAMETERS)[:_PARAMETERS]), keep_blank_values=True))


def cookies_asked(field: str) -> Fields:
    """Name and value of each cookie in a Cookie field."""
    parted = [cookie.partition("=") for cookie in field.split(";")]
    return tuple([(name.strip(), content.strip()) for name, _, content in parted if name.strip()])


def cookies_set(headers: Fields) -> Fields:
    """The same of Set-Cookie fields, without attributes."""
    pairs = [value.partition(";")[0].partition("=") for name, value in headers if name.lower() == "set-cookie"]
    return tuple([(name.strip(), value.strip()) for name, _, value in pairs])

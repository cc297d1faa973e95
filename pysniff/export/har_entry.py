"""One call as an entry of HAR 1.2 (http://www.softwareishard.com/blog/har-12-spec/).

What HAR demands and nobody saw has the value that HAR gives to the unknown: -1, "" or a status of 0, and a comment
says why. Fields that HAR does not know begin with `_`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from pysniff.dissectors.http import Fields, HttpMessage, HttpRequest, HttpResponse
from pysniff.entry import Entry
from pysniff.export.exporter import NOT_ENDED
from pysniff.export.har_cookies import request_cookies, response_cookies
from pysniff.export.url import url_of
from pysniff.message import Message

_MILLISECOND = 1_000_000  # ns
_PARAMETERS = 1_000  # of a form
_FORM = "application/x-www-form-urlencoded"
# As Chrome writes them; Firefox says HTTP/2.
_VERSIONS = {"2": "http/2.0", "3": "h3", "": "unknown"}


def har_entry(entry: Entry, body_limit: int) -> dict[str, Any]:
    """The record of one entry of which at least one half is HTTP's; `body_limit` bytes kept of each body."""
    request, response = entry.request, entry.response
    timings = _timings(request, response)
    version = _VERSIONS.get(entry.version) or f"HTTP/{entry.version}"
    record: dict[str, Any] = {
        "startedDateTime": _iso(entry.timestamp),
        "time": round(sum(timings.values()), 6),
        "request": _request(request, url_of(entry), version, body_limit),
        "response": _response(response, version, entry.timestamp, body_limit),
        "cache": {},
        "timings": {"blocked": -1, "dns": -1, "connect": -1, **timings, "ssl": -1},
        "serverIPAddress": entry.dst.ip,
        "connection": entry.stream,
    }
    if comment := _comment(entry):
        record["comment"] = comment
    record["_pysniff"] = _own(entry)
    return record


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _timings(request: Message | None, response: Message | None) -> dict[str, float]:
    """Milliseconds, which add up: where the answer begins before the request has ended, so does `receive`."""
    known = request or response
    assert known is not None
    first = known.first
    sent = first if request is None else max(first, request.last)
    begun, done = sent, sent
    if response is not None:
        begun = max(first, response.first)
        done = max(begun, response.last)
    sent = min(sent, begun)
    spans = {"send": sent - first, "wait": begun - sent, "receive": done - begun}
    return {name: span / _MILLISECOND for name, span in spans.items()}


def _request(request: HttpRequest | None, url: str, version: str, body_limit: int) -> dict[str, Any]:
    if request is None:
        return {"method": "", "url": url, "httpVersion": version, "cookies": [], "headers": [], "queryString": [],
                "headersSize": -1, "bodySize": -1}  # fmt: skip
    record: dict[str, Any] = {
        "method": request.method,
        "url": url,
        "httpVersion": version,
        "cookies": request_cookies(request),
        "headers": _pairs(request.headers),
        "queryString": _pairs(request.query),
        "headersSize": request.headers_size or -1,
        "bodySize": request.body.encoded_size,
    }
    if request.body.encoded_size:
        record["postData"] = _post_data(request, body_limit)
    return record


def _post_data(request: HttpRequest, body_limit: int) -> dict[str, Any]:
    body = request.body.to_dict(body_limit)
    data: dict[str, Any] = {"mimeType": request.content_type, "text": body.get("text", "")}
    notes = []
    if "base64" in body:
        # HAR 1.2 has a place for binary answers, but not for binary requests.
        data["text"], data["_encoding"] = body["base64"], "base64"
        notes.append("binary: the text is base64")
    elif body["mime_type"] == _FORM:
        pairs = parse_qsl("&".join(data["text"].split("&", _PARAMETERS)[:_PARAMETERS]), keep_blank_values=True)
        data["params"] = _pairs(tuple(pairs))
    if body["truncated"]:
        notes.append(_cut(body))
    if notes:
        data["comment"] = "; ".join(notes)
    return data


def _response(response: HttpResponse | None, version: str, now: datetime, body_limit: int) -> dict[str, Any]:
    if response is None:
        return {"status": 0, "statusText": "", "httpVersion": "unknown", "cookies": [], "headers": [],
                "content": {"size": 0, "mimeType": "x-unknown"}, "redirectURL": "", "headersSize": -1,
                "bodySize": -1}  # fmt: skip
    return {
        "status": response.status,
        "statusText": response.reason,
        "httpVersion": version,
        "cookies": response_cookies(response, now),
        "headers": _pairs(response.headers),
        "content": _content(response, body_limit),
        "redirectURL": response.header("location"),
        "headersSize": response.headers_size or -1,
        "bodySize": response.body.encoded_size,
        "_transferSize": response.size,
    }


def _content(response: HttpResponse, body_limit: int) -> dict[str, Any]:
    body = response.body.to_dict(body_limit)
    content: dict[str, Any] = {"size": body["size"], "mimeType": response.content_type or "x-unknown"}
    if body["encoding"]:
        content["compression"] = body["size"] - body["encoded_size"]
    if body["encoded_size"]:
        content["text"] = body.get("text", "")
        if "base64" in body:
            content["text"], content["encoding"] = body["base64"], "base64"
    if body["truncated"]:
        content["comment"] = _cut(body)
    return content


def _cut(body: dict[str, Any]) -> str:
    return f"cut: only the beginning of {body['size']} bytes is here"


def _pairs(fields: Fields) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in fields]


def _comment(entry: Entry) -> str:
    notes = []
    if entry.request is None:
        notes.append("the request was not seen")
    if entry.response is None:
        notes.append("no response was seen" + (" so far" if entry.state == "open" else ""))
    if entry.state == "open":
        notes.append(NOT_ENDED)
    return "; ".join(notes + [f"{fault.kind}: {fault.message}" for fault in entry.faults])


def _own(entry: Entry) -> dict[str, Any]:
    """What HAR has no place for."""
    own: dict[str, Any] = {
        "id": entry.id,
        "stream": entry.stream,
        "protocol": entry.protocol,
        "status": entry.status,
        "completeness": entry.completeness,
        "faults": [fault._asdict() for fault in entry.faults],
    }
    for name, message in (("requestTrailers", entry.request), ("responseTrailers", entry.response)):
        if isinstance(message, HttpMessage) and message.trailers:
            own[name] = _pairs(message.trailers)
    return own

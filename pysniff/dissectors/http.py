"""What a request and a response are in any version of HTTP (RFC 9110); fields are read when touched."""

from __future__ import annotations

from typing import Any

from pysniff.body import Body
from pysniff.dissectors.http_records import Fields as Fields
from pysniff.dissectors.http_records import (
    common_record,
    cookies_asked,
    cookies_set,
    index_of,
    listed,
    query_of,
    request_record,
    response_record,
    split_target,
)
from pysniff.message import Fault, Message, Role, printable

Content = bytes | list[bytes] | Body  # a body as it was collected


class HttpMessage(Message):
    """Header fields, trailers and body of either kind of message."""

    __slots__ = ("_fields", "_index", "_trailers", "_body")

    protocol = "http"
    _fields: Fields | None
    _index: dict[str, str] | None  # unset or None until somebody asks for a field by name
    _trailers: Fields
    _body: Content

    @property
    def headers(self) -> Fields:
        """Name and value of each field line, in order, as sent."""
        fields = self._fields
        if fields is None:
            fields = self._fields = self._read_fields()
        return fields

    @property
    def trailers(self) -> Fields:
        return self._trailers

    @property
    def headers_size(self) -> int:
        """Bytes of start line and header block, the empty line included, as HAR counts them."""
        raise NotImplementedError

    @property
    def body(self) -> Body:
        body = self._body
        if not isinstance(body, Body):
            size = len(body) if isinstance(body, bytes) else sum(map(len, body))
            index = self.index
            body = self._body = Body(body, size, index.get("content-encoding", ""), index.get("content-type", ""))
        return body

    @property
    def short_body(self) -> bytes | None:
        """The bytes of the body as sent, without a look at the head; None where it is too long to be just pieces."""
        body = self._body
        if isinstance(body, Body):
            return None
        return body if isinstance(body, bytes) else body[0] if len(body) == 1 else b"".join(body)

    @property
    def every_fault(self) -> tuple[Fault, ...]:
        # Reading the fields notes what is odd about them; of a body only its coding can be broken.
        if self.headers and self._body and "content-encoding" in self.index:
            return self.faults + self.body.faults
        return self.faults

    @property
    def index(self) -> dict[str, str]:
        """Values by name in lower case; several of one name are joined with ", " (RFC 9110 §5.3)."""
        try:
            index = self._index
        except AttributeError:
            index = None
        if index is None:
            index = self._index = index_of(self.headers)
        return index

    def header(self, name: str) -> str:
        """The values of one field, joined with ", "; "" where it is missing."""
        return self.index.get(name.lower(), "")

    @property
    def content_type(self) -> str:
        """The first Content-Type, "" where there is none."""
        return next((value for name, value in self.headers if name.lower() == "content-type"), "")

    def _read_fields(self) -> Fields:
        raise NotImplementedError

    def _common(self, body_limit: int) -> dict[str, Any]:
        body = self.body.to_dict(body_limit) if self._body else None
        return common_record(self.headers, self._trailers, self.cookies, self.headers_size, body)

    @property
    def cookies(self) -> Fields:
        """Name and value of each cookie."""
        raise NotImplementedError


class HttpRequest(HttpMessage):
    __slots__ = ()

    role = Role.REQUEST

    @property
    def target(self) -> tuple[str, str]:
        """Method and URL."""
        raise NotImplementedError

    @property
    def method(self) -> str:
        return self.target[0]

    @property
    def url(self) -> str:
        """The request target as sent: path and query, an absolute URL, host:port, or *."""
        return self.target[1]

    @property
    def path(self) -> str:
        """Of the target, without query; "" for CONNECT."""
        return split_target(self.url)[1]

    @property
    def query(self) -> Fields:
        """The parameters of the query, percent-decoded."""
        return query_of(self.url)

    @property
    def host(self) -> str:
        """The Host field, else the authority of the target."""
        return self.header("host") or split_target(self.url)[0]

    @property
    def cookies(self) -> Fields:
        cookie = self.index.get("cookie")
        return cookies_asked(cookie) if cookie else ()

    @property
    def summary(self) -> str:
        method, url = self.target
        return printable(f"{method} {url.partition('?')[0]}")

    @property
    def headline(self) -> str:
        method, url = self.target
        return printable(f"{method} {url}")

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        return request_record(self.target, self.index.get("host", ""), self._common(body_limit))


class HttpResponse(HttpMessage):
    """`interim`: the 1xx responses that came before it."""

    __slots__ = ("interim",)

    role = Role.RESPONSE
    interim: tuple[HttpResponse, ...]

    @property
    def status(self) -> int:
        raise NotImplementedError

    @property
    def reason(self) -> str:
        return ""

    @property
    def status_text(self) -> str:
        return str(self.status)

    @property
    def ok(self) -> bool:
        return 100 <= self.status < 400

    @property
    def cookies(self) -> Fields:
        """Of Set-Cookie, without attributes."""
        return cookies_set(self.headers) if "set-cookie" in self.index else ()

    @property
    def summary(self) -> str:
        return printable(f"{self.status} {self.reason}".rstrip())

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        record = response_record(self.status, self.reason, self._common(body_limit))
        if self.interim:
            record["interim"] = [
                {"status": one.status, "reason": one.reason, "headers": listed(one.headers)} for one in self.interim
            ]
        return record


def content_fields(fields: Fields) -> tuple[str, str]:
    """Content-Encoding and Content-Type."""
    coding = kind = ""
    for name, value in fields:
        lower = name.lower()
        if lower == "content-encoding":
            coding = f"{coding}, {value}" if coding else value
        elif lower == "content-type":
            kind = value
    return coding, kind

"""What a request and a response are in any version of HTTP (RFC 9110); fields are read when touched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from pysniff.body import Body
from pysniff.message import Fault, Message, Role, printable

Fields = tuple[tuple[str, str], ...]
Content = bytes | list[bytes] | Body  # a body as it was collected
_PARAMETERS = 1_000  # of a query


class HttpMessage(Message):
    """Header fields, trailers and body of either kind of message."""

    __slots__ = ("_fields", "_index", "_trailers", "_body")

    protocol = "http"
    _fields: Fields | None
    _index: dict[str, str]  # unset until somebody asks for a field by name
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
        if self._body and "content-encoding" in self.index:
            return self.faults + self.body.faults
        return self.faults if self.headers is not None else ()

    @property
    def index(self) -> dict[str, str]:
        """Values by name in lower case; several of one name are joined with ", " (RFC 9110 §5.3)."""
        try:
            return self._index
        except AttributeError:
            fields = self.headers
            index = {name.lower(): value for name, value in fields}
            if len(index) < len(fields):
                index.clear()
                for name, value in fields:
                    name = name.lower()
                    index[name] = f"{index[name]}, {value}" if name in index else value
            self._index = index
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
        return {
            "headers": [*map(list, self.headers)],
            "trailers": [*map(list, self._trailers)] if self._trailers else [],
            "cookies": [*map(list, self.cookies)],
            "headers_size": self.headers_size,
            "body": self.body.to_dict(body_limit) if self._body else dict(_NO_BODY),
        }

    @property
    def cookies(self) -> Fields:
        """Name and value of each cookie."""
        raise NotImplementedError


_NO_BODY = Body(b"", 0).to_dict(0)


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
        return _split(self.url)[1]

    @property
    def query(self) -> Fields:
        """The parameters of the query, percent-decoded."""
        return _query(self.url)

    @property
    def host(self) -> str:
        """The Host field, else the authority of the target."""
        return self.header("host") or _split(self.url)[0]

    @property
    def cookies(self) -> Fields:
        cookie = self.index.get("cookie")
        return tuple(_cookies(cookie)) if cookie else ()

    @property
    def summary(self) -> str:
        method, url = self.target
        return printable(f"{method} {url.partition('?')[0]}")

    @property
    def headline(self) -> str:
        method, url = self.target
        return printable(f"{method} {url}")

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        method, url = self.target
        host, path = ("", url.partition("?")[0]) if url[:1] == "/" else _split(url)
        return {
            "method": method,
            "url": url,
            "path": path,
            "query": [*map(list, _query(url))] if "?" in url else [],
            "host": self.index.get("host") or host,
            **self._common(body_limit),
        }


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
        if "set-cookie" not in self.index:
            return ()
        pairs = (value.partition(";")[0].partition("=") for name, value in self.headers if name.lower() == "set-cookie")
        return tuple((name.strip(), value.strip()) for name, _, value in pairs)

    @property
    def summary(self) -> str:
        return printable(f"{self.status} {self.reason}".rstrip())

    def to_dict(self, body_limit: int) -> dict[str, Any]:
        record = {"status": self.status, "reason": self.reason, **self._common(body_limit)}
        if self.interim:
            record["interim"] = [
                {"status": one.status, "reason": one.reason, "headers": [list(field) for field in one.headers]}
                for one in self.interim
            ]
        return record


def _split(target: str) -> tuple[str, str]:
    """Authority and path of a request target (RFC 9112 §3.2)."""
    if target[:1] == "/" or target == "*":
        return "", target.partition("?")[0]
    _, colon, rest = target.partition("://")
    if not colon:
        return target, ""
    authority, slash, path = rest.partition("?")[0].partition("/")
    return authority, slash + path


def _query(target: str) -> Fields:
    query = target.partition("?")[2].partition("#")[0]
    if not query:
        return ()
    if "%" not in query and "+" not in query and query.count("&") < _PARAMETERS:
        parted = [pair.partition("=") for pair in query.split("&") if pair]
        return tuple([(name, value) for name, _, value in parted])
    return tuple(parse_qsl("&".join(query.split("&", _PARAMETERS)[:_PARAMETERS]), keep_blank_values=True))


def _cookies(field: str) -> Iterable[tuple[str, str]]:
    for cookie in field.split(";"):
        name, _, content = cookie.partition("=")
        if name.strip():
            yield name.strip(), content.strip()


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

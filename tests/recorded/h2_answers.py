"""What the HTTP/2 server answers (`h2_server.py`); paths are keys of `ANSWERS`."""

from __future__ import annotations

from dataclasses import dataclass, field

from h2.errors import ErrorCodes

from recorded.answers import PAGE
from recorded.said import Headers

DATE = ("date", "Sat, 21 Nov 2026 20:00:00 GMT")


@dataclass(frozen=True)
class Answer:
    """`pushes`: paths that are pushed before it. `pad`: bytes of padding of each DATA frame.

    `reset`: the stream ends with this error after half of the content. `goaway`: the connection ends after it, and
    streams that were begun later are not answered.
    """

    status: int = 200
    headers: Headers = field(default_factory=lambda: [DATE])
    content: bytes = b""
    trailers: Headers = field(default_factory=list)
    interim: tuple[tuple[int, Headers], ...] = ()
    pushes: tuple[str, ...] = ()
    pad: int = 0
    reset: ErrorCodes | None = None
    goaway: bool = False


HINTS = [("link", "</style.css>; rel=preload")]
MANY = [(f"x-field-{n}", f"{n:04} " + "of many " * 20) for n in range(250)]  # 40 KB

ANSWERS: dict[str, Answer] = {
    "/plain": Answer(content=b"hello\n", headers=[DATE, ("content-type", "text/plain")]),
    "/page": Answer(content=PAGE, headers=[DATE, ("content-type", "text/html"), ("set-cookie", "a=b; Path=/")]),
    "/empty": Answer(),
    "/none": Answer(status=204),
    "/missing": Answer(status=404, content=b"not here"),
    "/hints": Answer(content=PAGE, interim=((103, HINTS), (102, []), (103, HINTS))),
    "/trailers": Answer(content=PAGE, trailers=[("x-sum", "1234"), ("x-end", "yes")]),
    "/only-trailers": Answer(trailers=[("x-sum", "0")]),
    "/padded": Answer(content=PAGE[:9000], pad=200),
    "/padding-alone": Answer(content=b"x", pad=255),
    "/many": Answer(headers=[DATE, *MANY], content=b"many"),
    "/pushing": Answer(content=PAGE, pushes=("/style.css", "/app.js")),
    "/style.css": Answer(content=b"p {}" * 600, headers=[DATE, ("content-type", "text/css")]),
    "/app.js": Answer(content=b"alert(1);" * 300, headers=[DATE, ("content-type", "text/javascript")]),
    "/reset": Answer(content=PAGE, reset=ErrorCodes.CANCEL),
    "/refused": Answer(reset=ErrorCodes.REFUSED_STREAM),
    "/goaway": Answer(content=b"the last one", goaway=True),
}

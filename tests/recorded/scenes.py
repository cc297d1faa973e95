"""What is played while we record: a scene is a server of its own, what was said to it, and the logs."""

from __future__ import annotations

import http.client
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from recorded import clients
from recorded.answers import PAGE, chunks
from recorded.clients import curl, switch, talk
from recorded.nginx import nginx
from recorded.nginx import said as nginx_said
from recorded.origin import origin
from recorded.proxy import proxy
from recorded.said import Log, Said, digest

MEGABYTES = random.Random(1).randbytes(5 << 20)


class Scene(NamedTuple):
    """`logs`: what each program said of the calls to the server on `port`, every log of all of them."""

    port: int
    logs: list[list[Said]]


@dataclass
class Stage:
    """Where scenes put their files; `scenes` collects what they did."""

    folder: Path
    scenes: list[Scene] = field(default_factory=list)

    def log(self, name: str) -> Log:
        return Log(self.folder / f"{name}.jsonl")

    def add(self, port: int, *logs: Iterable[Said]) -> None:
        self.scenes.append(Scene(port, [list(log) for log in logs]))

    def raw(self, *connections: tuple[bytes, ...]) -> None:
        """Each tuple of writes on a connection of its own, judged by the server's log."""
        log = self.log(f"server{len(self.scenes)}")
        with origin(log) as port:
            for writes in connections:
                talk(port, *writes)
        self.add(port, log.lines())

    def curls(
        self,
        *paths: str,
        options: tuple[str, ...] = (),
        heads: bool = True,
        bodies: bool = True,
        host: str = "127.0.0.1",
    ) -> None:
        """One curl that asks the origin for all paths, judged by both logs."""
        number = len(self.scenes)
        log = self.log(f"server{number}")
        with origin(log, host) as port:
            at = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            urls = (at + path for path in paths)
            account = curl(self.folder / f"out{number}", *urls, options=options, heads=heads, bodies=bodies)
        self.add(port, log.lines(), account)


def get(path: str, *fields: str, method: str = "GET", newline: str = "\r\n") -> bytes:
    return newline.join([f"{method} {path} HTTP/1.1", "Host: a", *fields, "", ""]).encode("latin-1")


def post(path: str, body: bytes, *fields: str) -> bytes:
    return get(path, *fields, f"Content-Length: {len(body)}", method="POST") + body


def trailers(stage: Stage) -> None:
    head = get("/trailers", "Transfer-Encoding: chunked", "Trailer: X-Sum", method="POST")
    stage.raw((head, *chunks(PAGE, 700, [("X-Sum", "9"), ("X-More", "")], ";a=b"), get("/chunked"), get("/plain")))


def codings(stage: Stage) -> None:
    paths = ["/gzip", "/deflate", "/br", "/zstd", "/gzip-chunked", "/twice", "/page", "/raw-deflate"]
    stage.curls(*paths, options=("--compressed",))
    # curl stops after the first member; RFC 1952 §2.2 says that all of them are the content.
    stage.raw((get("/gzip-members"),))


def events(stage: Stage) -> None:
    stage.curls("/events", "/plain", "/events-until-close", options=("-N",))


def until_close(stage: Stage) -> None:
    stage.curls("/until-close", "/until-close-1.0", "/plain")


def http_1_0(stage: Stage) -> None:
    stage.curls("/plain", "/page", options=("--http1.0", "-H", "Connection: keep-alive"))
    stage.curls("/plain", "/page", options=("--http1.0",))


def tunnel(stage: Stage) -> None:
    log, gate = stage.log("server"), stage.log("proxy")
    with origin(log) as port, proxy(gate) as entrance:
        options = ("--proxytunnel", "-x", f"http://127.0.0.1:{entrance}", "--noproxy", "")
        account = curl(
            stage.folder / "out",
            *(f"http://127.0.0.1:{port}{path}" for path in ("/plain", "/page")),
            options=options,
            heads=False,
        )
    (opened,) = gate.lines()
    inside = log.lines()
    for line in inside:
        line.client = opened.client
    stage.add(entrance, [opened, *inside], [opened, *account])
    stage.add(port, log.lines())


def lengths(stage: Stage) -> None:
    stage.raw(
        (get("/same-lengths"), get("/length-list"), get("/plain")),
        (get("/echo", "Content-Length: 4", "Content-Length: 4", method="POST") + b"same", get("/plain")),
        (get("/length-and-chunked"),),
        (get("/two-lengths"),),
        (
            get("/echo", "Content-Length: 99", "Transfer-Encoding: chunked", method="POST"),
            *chunks(b"ten bytes."),
            get("/plain"),
        ),
        (get("/echo", "Content-Length: 4", "Content-Length: 5", method="POST") + b"four",),
    )


def bare_lf(stage: Stage) -> None:
    stage.raw((get("/bare-lf"), get("/plain", newline="\n"), get("/plain")))


def fold(stage: Stage) -> None:
    stage.raw((get("/fold"), get("/plain", "X-Long: a", " b", "\tc", "X-Next: d"), get("/plain")))


def empty_lines(stage: Stage) -> None:
    stage.raw((post("/echo", b"four") + b"\r\n", b"\r\n" + get("/plain"), get("/no-reason"), get("/missing")))


def methods(stage: Stage) -> None:
    brew = get("/echo", "Content-Length: 3", method="BREW") + b"tea"
    words = ("PUT", "DELETE", "PROPFIND", "M-SEARCH", "TRACE", "PURGE")
    stage.raw(
        (
            brew,
            *(get("/echo", method=word) for word in words),
            get("*", method="OPTIONS"),
            get("http://a.example/plain"),
        )
    )
    stage.curls("/echo", options=("-X", "PATCH", "--data-binary", '{"a": 1}', "-H", "Content-Type: application/json"))


def informational(stage: Stage) -> None:
    stage.curls("/hints", "/plain", heads=False)
    stage.curls("/echo", options=("-H", "Expect: 100-continue", "--data-binary", "x" * 2000), heads=False)


def without_body(stage: Stage) -> None:
    heads = (get("/page", method="HEAD"), get("/plain"), get("/gzip-chunked", method="HEAD"), get("/chunked"))
    nones = (
        get("/not-modified"),
        get("/plain"),
        get("/none"),
        get("/none", method="HEAD"),
        get("/page"),
        get("/empty"),
    )
    stage.raw((*heads, *nones), (b"".join((*nones, *heads)),))
    stage.curls("/page", "/not-modified", "/none", options=("--head",), bodies=False)


def upgrade(stage: Stage) -> None:
    log = stage.log("server")
    with origin(log) as port:
        said = get("/upgrade", "Connection: Upgrade", "Upgrade: foo/1")
        switch(port, get("/plain") + said, b"\x00\x01GET", b"HTTP/1.1 200 OK\r\n"[::-1], b"\xff" * 500)
    stage.add(port, log.lines())


def pipelining(stage: Stage) -> None:
    asked = [get(f"/plain?{n}", method="HEAD" if n % 3 == 1 else "GET") for n in range(30)]
    asked[7] = post("/echo?7", b"GET /not-a-request HTTP/1.1\r\n\r\n")
    asked[9] = get("/hints?9")
    stage.raw((b"".join(asked),), (b"".join(asked[:10]), b"".join(asked[10:])))


def byte_by_byte(stage: Stage) -> None:
    both = post("/trailers", b"abc") + get("/plain")
    stage.raw(tuple(both[at : at + 1] for at in range(len(both))))


def multipart(stage: Stage) -> None:
    upload = stage.folder / "upload.bin"
    upload.write_bytes(MEGABYTES[:20000])
    stage.curls("/echo", options=("-F", "name=value", "-F", f"file=@{upload};type=image/png"))


def five_megabytes(stage: Stage) -> None:
    big = stage.folder / "big.bin"
    big.write_bytes(MEGABYTES)
    stage.curls("/echo", options=("--data-binary", f"@{big}", "-H", "Expect:"))
    stage.curls(
        "/echo", options=("-T", str(big), "-H", "Expect: 100-continue", "-H", "Transfer-Encoding: chunked"), heads=False
    )


def ipv6(stage: Stage) -> None:
    stage.curls("/plain", "/gzip", "/chunked", host="::1", options=("-g", "--compressed"))


def nginx_and_curl(stage: Stage) -> None:
    home = stage.folder / "nginx"
    files = {"page.txt": PAGE, "big.bin": MEGABYTES, "empty.bin": b""}
    with nginx(home, files) as port:
        at = f"http://127.0.0.1:{port}"
        account = curl(
            stage.folder / "a",
            *(f"{at}/{name}" for name in ("page.txt", "big.bin", "empty.bin", "moved", "no", "made")),
        )
        account += curl(stage.folder / "b", f"{at}/big.bin", f"{at}/page.txt", options=("-r", "1000-2999"))
        account += curl(stage.folder / "c", f"{at}/page.txt", options=("--compressed",))
        account += curl(stage.folder / "d", f"http://[::1]:{port}/big.bin", options=("-g",))
        account += curl(
            stage.folder / "f", f"{at}/page.txt", options=("-H", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT")
        )
    stage.add(port, nginx_said(home), account)


def short_connections(stage: Stage) -> None:
    home = stage.folder / "nginx"
    account = []
    with nginx(home, {"page.txt": PAGE}) as port:
        for n in range(1000):
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=clients.PATIENCE)
            client.request("HEAD" if n % 10 == 9 else "GET", f"/page.txt?{n}", headers={"Connection": "close"})
            local = client.sock.getsockname()[1]
            with client.getresponse() as response:
                content = response.read()
                fields = response.getheaders()
            line = Said(local, target=f"/page.txt?{n}", status=response.status, reason=response.reason, headers=fields)
            line.size, line.sha256 = len(content), digest(content)
            account.append(line)
            client.close()
    stage.add(port, nginx_said(home), account)


SCENES: dict[str, Callable[[Stage], None]] = {
    scene.__name__: scene
    for scene in (
        trailers, codings, events, until_close, http_1_0, tunnel, lengths, bare_lf, fold, empty_lines, methods,
        informational, without_body, upgrade, pipelining, byte_by_byte, multipart, five_megabytes, ipv6,
        nginx_and_curl, short_connections,
    )
}  # fmt: skip

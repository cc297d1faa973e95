"""HTTP/2 played while we record: each scene a server of its own, what was said to it, and the logs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence

from h2.errors import ErrorCodes

from recorded.clients import PATIENCE, curl
from recorded.h2_answers import ANSWERS
from recorded.h2_client import H2Client
from recorded.h2_server import h2_server
from recorded.http2_connections import FILES
from recorded.libcurl import libcurl
from recorded.nghttp import nghttp, nghttpx
from recorded.nghttpd import nghttpd
from recorded.nginx import nginx
from recorded.nginx import said as nginx_said
from recorded.said import Said
from recorded.scenes import MEGABYTES, Stage

PLAIN = [path for path, answer in ANSWERS.items() if not (answer.goaway or answer.reset or answer.pushes)]


def _package(stage: Stage, talk: Callable[[H2Client], None], table: int = 4096, ours: int = 4096) -> None:
    """The h2 package on both sides; `table`, `ours`: SETTINGS_HEADER_TABLE_SIZE of server and client."""
    log = stage.log(f"server{len(stage.scenes)}")
    with h2_server(log, table) as port, H2Client(port, ours) as client:
        talk(client)
    stage.add(port, log.lines(), client.lines())


def _nghttp(stage: Stage, *paths: str, options: Sequence[str] = ()) -> None:
    """nghttp asks the h2 package."""
    log = stage.log(f"server{len(stage.scenes)}")
    with h2_server(log) as port:
        account = nghttp(stage.folder, port, *paths, options=options)
    stage.add(port, log.lines(), account)


def _nghttpd(stage: Stage, *paths: str, options: Sequence[str] = (), server: Sequence[str] = ()) -> None:
    """nghttp asks nghttpd."""
    home = stage.folder / f"nghttpd{len(stage.scenes)}"
    with nghttpd(home, FILES, *server) as port:
        account = nghttp(home, port, *paths, options=options)
    stage.add(port, account)


def answers(stage: Stage) -> None:
    """Every answer that is complete, asked one by one and all at once."""

    def one_by_one(client: H2Client) -> None:
        for path in PLAIN:
            client.finish(client.ask(path))

    _package(stage, one_by_one)
    _package(stage, lambda client: client.finish(*[client.ask(path) for path in PLAIN]))
    _nghttp(stage, *PLAIN)
    log = stage.log("libcurl")
    with h2_server(log) as port:
        account = libcurl(port, *PLAIN)
    stage.add(port, log.lines(), account)


def push(stage: Stage) -> None:
    _package(stage, lambda client: client.finish(client.ask("/pushing"), client.ask("/plain"), 2, 4))
    _nghttp(stage, "/pushing", "/plain")
    page, pushed = "/index.html", "/static/style.css,/static/app.js"
    _nghttpd(stage, page, "/healthz", server=("--push", f"{page}={pushed}"))
    _nghttpd(stage, page, "/healthz", server=("--push", f"{page}={pushed}"), options=("--no-push",))


def padding(stage: Stage) -> None:
    def talk(client: H2Client) -> None:
        client.finish(client.ask("/padded"), client.ask("/padding-alone"))
        client.finish(client.ask("/echo", "POST", [b"one", b"", b"three"], pad=255))
        client.finish(client.ask("/echo?0", "POST", [b"a" * 9000], pad=0))

    _package(stage, talk)
    upload = stage.folder / "upload"
    upload.write_bytes(MEGABYTES[:100_000])
    _nghttpd(stage, "/index.html", "/static/app.js", server=("--padding=200",), options=("--padding=100",))
    _nghttp(stage, "/echo", options=("--padding=256", "-d", str(upload)))


def continuation(stage: Stage) -> None:
    many = [(f"x-field-{n}", f"{n:05} " + "and more " * 20) for n in range(200)]

    def talk(client: H2Client) -> None:
        client.finish(client.ask("/plain", fields=many), client.ask("/many"))
        client.finish(client.ask("/many?2", "POST", [b"x"], fields=many, trailers=many[:100]))

    _package(stage, talk)
    _nghttp(stage, "/plain", "/many", options=("--continuation",))
    _nghttpd(stage, "/index.html", "/none", options=("--continuation",))


def informational(stage: Stage) -> None:
    _package(stage, lambda client: client.finish(client.ask("/hints"), client.ask("/hints?2")))
    _nghttp(stage, "/hints")
    upload = stage.folder / "upload"
    upload.write_bytes(MEGABYTES[:30_000])
    _nghttpd(stage, "/echo", options=("--expect-continue", "-d", str(upload)), server=("--echo-upload",))


def tunnels(stage: Stage) -> None:
    """CONNECT, and CONNECT with a protocol that nobody knows."""

    def talk(client: H2Client) -> None:
        first, second = client.connect("db.example:5432"), client.connect("/parrot", "parrot")
        for said in (b"hello", b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 500):
            client.through(first, said)
            client.through(second, said[:3])
        client.finish(client.ask("/plain"))
        client.end(second)
        client.end(first)

    _package(stage, talk)


def trailers(stage: Stage) -> None:
    def talk(client: H2Client) -> None:
        client.finish(client.ask("/trailers", "POST", [b"abc", b"de"], trailers=[("x-sum", "5"), ("x-more", "")]))
        client.finish(client.ask("/only-trailers", "POST", trailers=[("x-sum", "0")]), client.ask("/plain"))

    _package(stage, talk)
    upload = stage.folder / "upload"
    upload.write_bytes(b"some of it")
    _nghttpd(stage, "/index.html", server=("--trailer", "x-sum: 9", "--trailer", "x-end: yes"))
    _nghttp(stage, "/trailers", options=("--trailer", "x-sum: 10", "-d", str(upload)))


def upgrade(stage: Stage) -> None:
    """By curl and nghttp, to the h2 package and through nghttpx, which speaks HTTP/2 to what is behind it."""
    log = stage.log("server")
    with h2_server(log) as port:
        account = curl(stage.folder / "out", f"http://127.0.0.1:{port}/page", options=("--http2",), heads=False)
        account[0].target = "/page"
        nghttp(stage.folder, port, "/hints", "/trailers", "/many", options=("-u",))
    stage.add(port, log.lines())
    behind = stage.log("behind")
    with h2_server(behind) as port, nghttpx(stage.folder / "nghttpx", port) as entrance:
        account = curl(stage.folder / "2", f"http://127.0.0.1:{entrance}/trailers", options=("--http2",), heads=False)
        account[0].target = "/trailers"
        account += libcurl(entrance, "/page", "/missing", "/echo", body=b"0123456789" * 500)
    stage.add(entrance, account)
    stage.add(port, behind.lines())


def prior_knowledge(stage: Stage) -> None:
    home = stage.folder / "nginx"
    paths = [f"/{name}" for name in FILES] + ["/no", "/made", "/moved"]
    with nginx(home, FILES, http2=True) as port:
        account = libcurl(port, *paths)
        for path in ("/index.html", "/no"):
            url = f"http://127.0.0.1:{port}{path}?curl"
            (line,) = curl(stage.folder / path[1:], url, options=("--http2-prior-knowledge",), heads=False)
            line.target = f"{path}?curl"
            account.append(line)
    stage.add(port, nginx_said(home), account)


def load(stage: Stage) -> None:
    """h2load counts; nginx has the log."""
    home = stage.folder / "nginx"
    with nginx(home, FILES, http2=True) as port:
        urls = [f"http://127.0.0.1:{port}/{path}?{n}" for n in range(10) for path in (*FILES, "no")]
        (stage.folder / "urls").write_text("\n".join(urls))
        # nginx lets a connection have 60 requests.
        command = ("h2load", "-n600", "-c10", "-t1", "-m10", "-i", str(stage.folder / "urls"))
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    counts = re.search(r"status codes: (\d+) 2xx, \d+ 3xx, (\d+) 4xx", done.stdout)
    said = nginx_said(home)
    if counts is None or int(counts[1]) + int(counts[2]) != len(said):
        raise RuntimeError(f"h2load and nginx do not agree: {done.stdout}")
    stage.add(port, said)


def resets(stage: Stage) -> None:
    """By either side, before and within the answer; the server says so of what it was not asked in time."""

    def talk(client: H2Client) -> None:
        client.finish(client.ask("/reset"), client.ask("/refused"), client.ask("/plain"))
        for number, error in enumerate((ErrorCodes.CANCEL, ErrorCodes.INTERNAL_ERROR, ErrorCodes.ENHANCE_YOUR_CALM)):
            client.reset(client.ask(f"/never?{number}", "POST", [b"some"] * number, open_end=True), error)
        client.finish(client.ask("/plain?2"))

    _package(stage, talk)


def goaway(stage: Stage) -> None:
    log = stage.log("server")
    with h2_server(log) as port, H2Client(port) as client:
        client.finish(client.ask("/plain"))
        client.ask("/goaway")
        client.ask("/late")
        client.until(lambda: client.ended)
    late = next(line for line in client.lines() if line.target == "/late")
    late.odd = True  # begun, and beyond what the server says it has read
    stage.add(port, [*log.lines(), Said(client.local, "GET", "/late", odd=True)], client.lines())


def table_sizes(stage: Stage) -> None:
    """Announced by either side: none, small, large, changed."""
    asked = [path for path in PLAIN if path != "/many"]
    for table, ours in ((0, 0), (100, 4096), (4096, 64), (65536, 65536)):
        _package(stage, lambda client: client.finish(*[client.ask(path) for path in PLAIN]), table, ours)
        options = (f"--header-table-size={ours}", f"--encoder-header-table-size={table}")
        _nghttpd(stage, "/index.html", "/no", "/healthz", "/static/app.js", options=options, server=options)
    # Twice in one SETTINGS frame: the smallest holds for a moment (RFC 7541 §4.2).
    twice = ("--header-table-size=0", "--header-table-size=2000")
    _nghttpd(stage, "/index.html", "/no", "/healthz", "/static/app.js", options=twice)

    def talk(client: H2Client) -> None:
        client.finish(client.ask("/plain?first"))  # the settings of the server are known then
        for number, size in enumerate((0, 4096, 50, 10_000, 0)):
            client.resize(size)
            client.finish(*[client.ask(f"{path}?{number}") for path in asked])

    _package(stage, talk)


SCENES: dict[str, Callable[[Stage], None]] = {
    scene.__name__: scene
    for scene in (
        answers, push, padding, continuation, informational, tunnels, trailers, upgrade, prior_knowledge, load, resets,
        goaway, table_sizes,
    )
}  # fmt: skip

"""nginx, curl, Python and node talk TLS to each other; tunnels and STARTTLS too."""

from __future__ import annotations

import asyncio
import random
import smtplib
import socket
import ssl
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

from tls_openssl import HELLOS, asking, ended
from tls_recorder import Pipes, Play, Stage

BODY = random.Random(3).randbytes(50_000).hex().encode()
SMTP_PORT, POSTGRESQL_PORT = 25, 5432
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

NGINX = """
daemon off; master_process off; pid nginx.pid; error_log errors;
events {{}}
http {{
  access_log off;
  client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
  ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3; {more}
  server {{ listen 127.0.0.1:{port} ssl {h2}; root .; location /small {{ return 200 "small\\n"; }} }}
}}
"""
NODE = """
const [,, kind, port, certificate, key] = process.argv, fs = require('fs');
const tls = {cert: fs.readFileSync(certificate), key: fs.readFileSync(key)};
const answer = (request, response) => { let size = 0;
  request.on('data', (data) => size += data.length);
  request.on('end', () => response.end(`${request.url} ${size} ` + 'n'.repeat(20000))); };
const make = kind == 'h2' ? require('http2').createSecureServer : require('https').createServer;
const server = make(tls, answer);
// Without exit(): what is left to write of the key log is written.
const done = () => console.log('done');
server.listen(port, '127.0.0.1', () => {
  if (kind == 'h2') {
    const session = require('http2').connect(`https://127.0.0.1:${port}`, {rejectUnauthorized: false});
    let left = 3;
    for (const path of ['/a', '/b', '/c']) {
      const call = session.request({':path': path, ':method': 'POST'});
      call.resume(); call.on('end', () => { if (!--left) session.close(() => server.close(done)); });
      call.end('x'.repeat(3000));
    }
  } else {
    const options = {port, host: '127.0.0.1', path: '/n', method: 'POST', rejectUnauthorized: false, agent: false};
    const call = require('https').request(options, (response) => {
      response.resume(); response.on('end', () => server.close(done));
    });
    call.end('y'.repeat(3000));
  }
});
"""


def serving(stage: Stage, version: str = "") -> ssl.SSLContext:
    return _limited(stage, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), version)


def calling(stage: Stage, version: str = "") -> ssl.SSLContext:
    context = _limited(stage, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), version)
    context.load_verify_locations(stage.rsa[0])
    context.keylog_filename = str(stage.keys)
    return context


def _limited(stage: Stage, context: ssl.SSLContext, version: str) -> ssl.SSLContext:
    if context.protocol == ssl.PROTOCOL_TLS_SERVER:
        context.load_cert_chain(*stage.rsa)
    if version:
        context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


# Python


async def blocking(stage: Stage, version: str) -> None:
    """Sockets in two threads: forty records of a byte, then one write of many records."""
    with socket.create_server(("127.0.0.1", stage.port)) as listener:
        answered = asyncio.create_task(asyncio.to_thread(_answer, listener, serving(stage, version), len(BODY)))
        client = await asyncio.to_thread(_ask, stage.port, calling(stage, version))
        await answered
    stage.tell(client, BODY)


def _answer(listener: socket.socket, context: ssl.SSLContext, size: int) -> None:
    with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
        got = 0
        while got < 40:
            got += len(connection.recv(40))
        connection.sendall(BODY[:size])
        connection.unwrap()


def _ask(port: int, context: ssl.SSLContext) -> bytes:
    plain = socket.create_connection(("127.0.0.1", port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with context.wrap_socket(plain, server_hostname="localhost") as connection:
        said = bytes(range(40))
        for at in range(40):
            connection.sendall(said[at : at + 1])
        while connection.recv(65536):
            pass
        connection.unwrap()
        return said


Handler = Callable[[StreamReader, StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(
    stage: Stage, handler: Handler, port: int = 0, context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[None]:
    """One of asyncio's, until its only connection is over."""
    over = asyncio.Event()

    async def handle(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            await handler(reader, writer)
            writer.close()
            await writer.wait_closed()
        over.set()

    async with await asyncio.start_server(handle, host, port or stage.port, ssl=context):
        yield
        await over.wait()


async def echoed(reader: StreamReader, writer: StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def streams(stage: Stage, version: str, host: str = "127.0.0.1", *, abort: bool = False) -> None:
    """asyncio at both ends: what it sends comes back; `abort`: its end is that of TCP alone."""
    pieces = (b"first", b"", b"second " * 3000, b"third")
    async with server(stage, echoed, context=serving(stage, version), host=host):
        context = calling(stage, version)
        reader, writer = await asyncio.open_connection(host, stage.port, ssl=context, server_hostname="localhost")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await reader.readexactly(len(piece))
        if abort:
            writer.transport.abort()
        else:
            writer.close()
            await writer.wait_closed()
    stage.tell(b"".join(pieces), b"".join(pieces))


# nginx


@asynccontextmanager
async def nginx(stage: Stage, h2: str = "", more: str = "") -> AsyncIterator[None]:
    certificate, key = stage.rsa
    (stage.folder / "large").write_bytes(BODY)
    text = NGINX.format(certificate=certificate, key=key, port=stage.port, h2=h2, more=more)
    (stage.folder / "nginx.conf").write_text(text)
    async with stage.program("nginx", "-p", str(stage.folder), "-c", "nginx.conf", "-e", "errors"):
        await stage.listening()
        yield


async def browsed(stage: Stage, version: str, h2: str = "") -> None:
    """curl asks nginx three times over one connection."""
    async with nginx(stage, h2):
        urls = [f"https://127.0.0.1:{stage.port}/{name}" for name in ("small", "large", "small")]
        how = ("--http2" if h2 else "--http1.1", f"--tlsv{version}", "--tls-max", version)
        command = ("curl", "-sS", "-k", *how, *urls)
        if await stage.run("env", f"SSLKEYLOGFILE={stage.keys}", *command) != b"small\n" + BODY + b"small\n":
            raise RuntimeError("nginx answered otherwise")
    stage.tell(None, None)


async def returned(stage: Stage, version: str, more: str) -> None:
    """Three connections to nginx, of which the later ones resume the session of the first."""
    ask = b"GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    async with nginx(stage, more=more):
        session = stage.folder / "session"
        for resuming in ("-sess_out", "-sess_in", "-sess_in"):
            options = (f"-tls{version.replace('.', '_')}", resuming, session, "-ign_eof")
            async with asking(stage, *options) as client:
                answer, _ = await client.communicate(ask)
                if not answer.endswith(b"small\n"):
                    raise RuntimeError(f"nginx answered {answer!r}")
            stage.tell(ask, answer)


async def hurried(stage: Stage) -> None:
    """nginx takes a request as 0-RTT."""
    ask = b"GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    session, early = stage.folder / "session", stage.folder / "early"
    early.write_bytes(ask)
    async with nginx(stage, more="ssl_early_data on;"):
        for options, text in ((("-sess_out", session), ask), (("-sess_in", session, "-early_data", early), b"")):
            async with asking(stage, "-tls1_3", *options, "-ign_eof") as client:
                answer, _ = await client.communicate(text)
                if not answer.endswith(b"small\n"):
                    raise RuntimeError(f"nginx answered {answer!r}")
            stage.tell(ask, answer)


# node


async def node(stage: Stage, kind: str, version: str) -> None:
    """Server and client in one node."""
    script = stage.folder / "talk.js"
    script.write_text(NODE)
    limits = (f"--tls-min-v{version}", f"--tls-max-v{version}", f"--tls-keylog={stage.keys}")
    if await stage.run("node", *limits, script, kind, str(stage.port), *stage.rsa) != b"done\n":
        raise RuntimeError("node said otherwise")
    stage.tell(None, None)


# TLS after something else


async def tunnel(reader: StreamReader, writer: StreamWriter) -> None:
    """A proxy that knows CONNECT."""
    target = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
    host, _, port = target.rpartition(":")
    far_reader, far_writer = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def copy(source: StreamReader, sink: StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
        sink.write_eof()

    await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
    far_writer.close()


async def connect(stage: Stage) -> None:
    """curl through the proxy: the same TLS on both sides of it."""
    asked: list[bytes] = []
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

    async def web(reader: StreamReader, writer: StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)

    far = stage.port + 1
    async with server(stage, web, far, serving(stage)), server(stage, tunnel):
        proxy = ("-x", f"http://127.0.0.1:{stage.port}")
        await stage.run(
            *("env", f"SSLKEYLOGFILE={stage.keys}", "curl", "-sS", "-k", *proxy, f"https://127.0.0.1:{far}/through")
        )
    stage.tell(asked[0], answer)
    stage.tell(asked[0], answer, far)


async def smtp(stage: Stage) -> None:
    """smtplib says STARTTLS and goes on in TLS."""
    asked, answered = bytearray(), bytearray()

    async def mail(reader: StreamReader, writer: StreamWriter) -> None:
        def say(line: bytes) -> None:
            writer.write(line)
            if is_secret:
                answered.extend(line)

        is_secret = False
        say(b"220 mail.test ready\r\n")
        while line := await reader.readline():
            if is_secret:
                asked.extend(line)
            word = line.strip().upper().partition(b" ")[0]
            if word == b"EHLO":
                say(b"250-mail.test\r\n250 STARTTLS\r\n" if not is_secret else b"250 mail.test\r\n")
            elif word == b"STARTTLS":
                say(b"220 go ahead\r\n")
                await writer.drain()
                await writer.start_tls(serving(stage))
                is_secret = True
            elif word == b"QUIT":
                say(b"221 bye\r\n")
                return
            else:
                say(b"250 ok\r\n")

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", SMTP_PORT) as client:
            client.starttls(context=calling_unnamed(stage))
            client.noop()
            client.docmd("VRFY", "somebody")

    async with server(stage, mail, SMTP_PORT):
        await asyncio.to_thread(send)
    stage.tell(bytes(asked), bytes(answered), SMTP_PORT)


def calling_unnamed(stage: Stage) -> ssl.SSLContext:
    context = calling(stage)
    context.check_hostname = False
    return context


async def postgresql(stage: Stage) -> None:
    """PostgreSQL's SSLRequest, answered with S."""

    async def database(reader: StreamReader, writer: StreamWriter) -> None:
        if await reader.readexactly(8) != struct.pack(">II", 8, 80877103):
            raise RuntimeError("no SSLRequest")
        writer.write(b"S")
        await writer.drain()
        await writer.start_tls(serving(stage))
        await echoed(reader, writer)

    said = b"".join(what for _, what in HELLOS if isinstance(what, bytes))
    async with server(stage, database, POSTGRESQL_PORT):
        common = ("-quiet", "-no_ign_eof", "-keylogfile", stage.keys, "-starttls", "postgres")
        command = ("openssl", "s_client", "-connect", f"127.0.0.1:{POSTGRESQL_PORT}", *common)
        async with stage.program(*command) as client:
            for _, what in HELLOS:
                assert isinstance(what, bytes)
                await Pipes(client, client).carry(what)
            await ended(client)
    stage.tell(said, said, POSTGRESQL_PORT)


CASES: dict[str, Play] = {
    **{f"python {version}": partial(blocking, version=version) for version in VERSIONS},
    **{f"asyncio {version}": partial(streams, version=version) for version in VERSIONS},
    "asyncio over IPv6": partial(streams, version="1.3", host="::1"),
    "asyncio aborted": partial(streams, version="1.3", abort=True),
    **{f"nginx http/1.1 {version}": partial(browsed, version=version) for version in VERSIONS},
    **{f"nginx h2 {version}": partial(browsed, version=version, h2="http2") for version in VERSIONS},
    "nginx resumed 1.2 ticket": partial(returned, version="1.2", more="ssl_session_tickets on;"),
    "nginx resumed 1.2 cache": partial(
        returned, version="1.2", more="ssl_session_tickets off; ssl_session_cache shared:a:1m;"
    ),
    "nginx resumed 1.3": partial(returned, version="1.3", more="ssl_session_tickets on;"),
    "nginx 0-RTT": hurried,
    **{f"node https {version}": partial(node, kind="https", version=version) for version in VERSIONS},
    **{f"node h2 {version}": partial(node, kind="h2", version=version) for version in VERSIONS},
    "CONNECT": connect,
    "STARTTLS of SMTP": smtp,
    "STARTTLS of PostgreSQL": postgresql,
}

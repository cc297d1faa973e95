"""OpenSSL's s_server and s_client talk to each other: versions, suites, and what a handshake may do."""

from __future__ import annotations

import random
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tls_recorder import Pipes, Play, Stage

HELLO, ANSWER = b"hello from the client\n", b"and an answer to it\n"
# A record of s_server holds 16 KiB at most, one of s_client 8.
LONG = random.Random(7).randbytes(40_000)
PSK = ("-psk", "6b65793a" * 4)
CLIENT, SERVER = "client", "server"
# Who writes what; a command is a letter that the program takes for itself.
Steps = Sequence[tuple[str, bytes | str]]
HELLOS: Steps = ((CLIENT, HELLO), (SERVER, ANSWER), (CLIENT, b"x"), (SERVER, b"y"))

LEGACY = "-cipher ALL:@SECLEVEL=0"
TLS12 = "-tls1_2 -cipher {}:@SECLEVEL=0"
TLS13 = "-tls1_3 -ciphersuites {} -cipher ALL:@SECLEVEL=0"

# Of TLS 1.2, by how the records are protected; key exchanges differ on the way.
SUITES12 = {
    "gcm": ("ECDHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384", "AES128-GCM-SHA256", "AES256-GCM-SHA384"),
    "chacha": ("ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305", "DHE-RSA-CHACHA20-POLY1305"),
    "ccm": ("ECDHE-ECDSA-AES128-CCM", "DHE-RSA-AES256-CCM", "AES128-CCM"),
    "ccm8": ("ECDHE-ECDSA-AES128-CCM8", "ECDHE-ECDSA-AES256-CCM8", "AES128-CCM8"),
    "cbc": ("AES128-SHA", "DHE-RSA-AES256-SHA", "AES128-SHA256", "ECDHE-RSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA"),
    "psk": ("PSK-AES128-GCM-SHA256", "ECDHE-PSK-CHACHA20-POLY1305", "DHE-PSK-AES256-CBC-SHA384", "PSK-AES128-CCM8"),
}
SUITES13 = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
)


@asynccontextmanager
async def serving(stage: Stage, *options: str | Path, ec: bool = False, quiet: bool = True) -> AsyncIterator[Process]:
    """s_server for one connection, with a certificate of RSA or of an elliptic curve."""
    certificate, key = stage.ec if ec else stage.rsa
    common = ("-accept", str(stage.port), "-naccept", "1", "-cert", certificate, "-key", key)
    async with stage.program("openssl", "s_server", *common, *["-quiet"] * quiet, *options) as server:
        await stage.listening()
        yield server


@asynccontextmanager
async def asking(stage: Stage, *options: str | Path) -> AsyncIterator[Process]:
    """s_client, which ends its connection properly once its input ends, and understands commands."""
    common = ("-connect", f"127.0.0.1:{stage.port}", "-keylogfile", stage.keys, "-quiet", "-no_ign_eof")
    async with stage.program("openssl", "s_client", *common, *options) as client:
        yield client


async def ended(*programs: Process) -> None:
    """Their input ends, and then they do, in this order."""
    for program in programs:
        assert program.stdin
        program.stdin.close()
        await program.wait()


async def exchange(client: Process, server: Process, steps: Steps) -> tuple[bytes, bytes]:
    """Play the steps; what the client wrote, and the server."""
    pipes = {CLIENT: Pipes(client, server), SERVER: Pipes(server, client)}
    for side, what in steps:
        if isinstance(what, bytes):
            await pipes[side].carry(what)
        else:
            await pipes[side].command(what)
    client_wrote, server_wrote = (
        b"".join(what for side, what in steps if side == wanted and isinstance(what, bytes))
        for wanted in (CLIENT, SERVER)
    )
    return client_wrote, server_wrote


def talk(server: str = "", client: str | None = None, steps: Steps = HELLOS, *, ec: bool = False) -> Play:
    """A connection; the client has the server's options unless it has its own. Names of folders are filled in."""

    async def play(stage: Stage) -> None:
        theirs, ours = (
            text.format(rsa=stage.rsa[0], key=stage.rsa[1]).split()
            for text in (server, server if client is None else client)
        )
        async with serving(stage, *theirs, ec=ec) as listener, asking(stage, *ours) as caller:
            said = await exchange(caller, listener, steps)
            await ended(caller, listener)
        stage.tell(*said)

    return play


def suite12(name: str, *more: str, steps: Steps = HELLOS) -> Play:
    options = " ".join((TLS12.format(name), *(PSK if "PSK" in name else ()), *more))
    return talk(options, steps=steps, ec="ECDSA" in name)


def again(options: str, *, steps: Steps = HELLOS) -> Play:
    """Two connections, of which the second one resumes the session of the first."""

    async def play(stage: Stage) -> None:
        session = stage.folder / "session"
        certificate, key = stage.rsa
        common = ("-accept", str(stage.port), "-naccept", "2", "-quiet", "-cert", certificate, "-key", key)
        async with stage.program("openssl", "s_server", *common, *options.split()) as server:
            await stage.listening()
            for resuming in (("-sess_out", session), ("-sess_in", session)):
                async with asking(stage, *options.split(), *resuming) as client:
                    stage.tell(*await exchange(client, server, steps))
                    await ended(client)

    return play


def early(accepted: bool) -> Play:
    """A session, and another that begins with data of 0-RTT: taken by the server that knows the first, or refused."""

    async def play(stage: Stage) -> None:
        session, data = stage.folder / "session", stage.folder / "early"
        data.write_bytes(b"early bird\n" * 30)
        asked = ("-tls1_3", "-early_data") if accepted else ("-tls1_3",)
        certificate, key = stage.rsa
        common = ("-accept", str(stage.port), "-cert", certificate, "-key", key, "-max_early_data", "9000", "-quiet")
        connections = ("-naccept", "2" if accepted else "1")
        command = ("openssl", "s_server", *common, *connections)
        async with stage.program(*command, *asked) as server:
            await stage.listening()
            async with asking(stage, "-tls1_3", "-sess_out", session) as client:
                stage.tell(*await exchange(client, server, HELLOS))
                await ended(client)
            if accepted:
                async with asking(stage, "-tls1_3", "-sess_in", session, "-early_data", data) as client:
                    assert server.stdout
                    if await server.stdout.readexactly(data.stat().st_size) != data.read_bytes():
                        raise RuntimeError("early data came otherwise")
                    client_said, server_said = await exchange(client, server, HELLOS)
                    await ended(client)
                stage.tell(data.read_bytes() + client_said, server_said)
                return
            await server.wait()
        # One that was started anew has other keys for its tickets: it answers with a whole handshake.
        async with stage.program(*command, "-tls1_3", "-early_data") as server:
            await stage.listening()
            async with asking(stage, "-tls1_3", "-sess_in", session, "-early_data", data) as client:
                stage.tell(*await exchange(client, server, HELLOS))
                await ended(client)

    return play


async def cut(stage: Stage) -> None:
    """The client is killed: no close_notify, and the connection ends."""
    async with serving(stage, "-tls1_3") as server, asking(stage, "-tls1_3") as client:
        said = await exchange(client, server, HELLOS)
        client.kill()
        await client.wait()
        await ended(server)
    stage.tell(*said)


EITHER = ((CLIENT, HELLO), (SERVER, LONG), (CLIENT, LONG), (SERVER, ANSWER))
UPDATES: Steps = (
    *((CLIENT, HELLO), (SERVER, ANSWER), (CLIENT, "k"), (CLIENT, b"after my update\n"), (SERVER, b"still mine\n")),
    *((CLIENT, "K"), (CLIENT, b"after both\n"), (SERVER, b"mine too\n"), (CLIENT, "K"), (CLIENT, b"a"), (SERVER, b"b")),
)
# What follows the renegotiation is what nobody without its keys can read.
BEFORE = ((CLIENT, HELLO), (SERVER, ANSWER))
RENEGOTIATED: Steps = (*BEFORE, (CLIENT, "R"), (CLIENT, b"after it\n"), (SERVER, b"yes\n"))

CASES: dict[str, Play] = {
    **{f"1.2 {kind} {name}": suite12(name) for kind, names in SUITES12.items() for name in names},
    **{
        f"1.2 cbc no etm {name}": suite12(name, "-no_etm")
        for name in ("AES128-SHA", "AES256-SHA256", "ECDHE-RSA-AES256-SHA384", "ECDHE-ECDSA-AES256-SHA")
    },
    **{f"1.3 {name}": talk(TLS13.format(name)) for name in SUITES13},
    "1.0": talk(f"-tls1 {LEGACY}"),
    "1.0 no etm": talk(f"-tls1 {LEGACY} -no_etm", steps=EITHER),
    "1.1": talk(f"-tls1_1 {LEGACY}", steps=EITHER),
    "1.1 no etm": talk(f"-tls1_1 {LEGACY} -no_etm"),
    "1.2 long": talk("-tls1_2", steps=EITHER),
    "1.2 long cbc": suite12("AES128-SHA256", steps=EITHER),
    "1.3 long": talk("-tls1_3", steps=EITHER),
    "1.3 long chacha": talk(TLS13.format(SUITES13[2]), steps=EITHER),
    "1.3 padded": talk("-tls1_3 -record_padding 512"),
    "1.3 without compatibility": talk("-tls1_3 -no_middlebox"),
    "1.3 secp384r1": talk("-tls1_3 -groups P-384"),
    "1.3 external psk": talk(f"-tls1_3 -nocert {' '.join(PSK)}", f"-tls1_3 {' '.join(PSK)}"),
    "1.3 psk without exchange": talk(f"-tls1_3 -allow_no_dhe_kex {' '.join(PSK)}"),
    "hello retry request": talk("-tls1_3 -groups P-384", "-tls1_3 -groups X25519:P-384"),
    "small records": talk("-max_send_frag 512", steps=EITHER),
    "maximum fragment length": talk("", "-maxfraglen 1024", steps=EITHER),
    "client certificate 1.2": talk("-tls1_2 -Verify 1 -verify_quiet", "-tls1_2 -cert {rsa} -key {key}"),
    "client certificate 1.3": talk("-tls1_3 -Verify 1 -verify_quiet", "-tls1_3 -cert {rsa} -key {key}"),
    "key update": talk("-tls1_3", steps=UPDATES),
    "renegotiation": talk("-tls1_2 -client_renegotiation", "-tls1_2", RENEGOTIATED),
    "resumed 1.2 ticket": again("-tls1_2"),
    "resumed 1.2 session id": again("-tls1_2 -no_ticket"),
    "resumed 1.3": again("-tls1_3"),
    "early data accepted": early(True),
    "early data rejected": early(False),
    "no close_notify": cut,
}

"""Who closed which connection: the kernel notes the process as its socket begins to close.

So a connection that is over by the time somebody asks has an owner, and one that is open is found among the sockets.
"""

from __future__ import annotations

from contextlib import ExitStack
from socket import AF_INET, AF_INET6
from typing import NamedTuple, Self

from pysniff.tracer.architecture import here
from pysniff.tracer.assembler import FRAME, R1, R2, R3, R4, R6, R7, Helper, Test
from pysniff.tracer.bpf import Map, MapType, Program, ProgramType, raw_tracepoint
from pysniff.tracer.btf import NotFound, kernel_btf
from pysniff.tracer.limits import NAME
from pysniff.tracer.plaintext_records import pack_ends
from pysniff.tracer.plaintext_state import TUPLE
from pysniff.tracer.probe_program import ProbeProgram
from pysniff.tracer.socket_ends import SocketFields, read_ends
from pysniff.tracer.task import task_of_kernel

_TRACEPOINT = "inet_sock_set_state"  # (socket, old state, new state); Linux 4.16
# include/net/tcp_states.h. Nobody but the process brings its socket into FIN_WAIT1 and LAST_ACK, by close() or
# shutdown(), or by its end. CLOSE also comes by a reset of the peer, in whatever process is interrupted; but by the
# process where bytes are unread or it does not linger: then both directions are shut down before, and not after.
_ESTABLISHED, _FIN_WAIT1, _CLOSE, _CLOSE_WAIT, _LAST_ACK = 1, 4, 7, 8, 9
_SHUT_DOWN = 3  # SHUTDOWN_MASK
# Sockets remembered; the kernel forgets those that were closed longest ago.
_SOCKETS = 65_536
_MAPPED = bytes(10) + b"\xff\xff"


class Owner(NamedTuple):
    """A process, as this one calls it, and its name."""

    pid: int
    comm: str


class Closing:
    """`owners()` of connections closed since this is; until close(), or the end of this process.

    Raises OSError where the kernel does not let us, and btf.NotFound where it does not tell what sockets are. It does
    not see an end whose peer has reset the connection.
    """

    def __init__(self) -> None:
        btf = kernel_btf()
        fields = SocketFields.of(btf)
        port, shutdown = btf.offset("inet_sock", "inet_sport"), btf.offset("sock", "sk_shutdown")
        with ExitStack() as opened:
            self._sockets = Map(MapType.LRU_HASH, key=TUPLE, value=8 + NAME, entries=_SOCKETS, name="ps_closing")
            opened.callback(self._sockets.close)
            code = _program(self._sockets, fields, port, shutdown).code()
            with Program(ProgramType.RAW_TRACEPOINT, code, name="ps_closing") as program:
                opened.enter_context(raw_tracepoint(_TRACEPOINT, program))
            self._opened = opened.pop_all()

    def owners(self, key: bytes) -> list[Owner]:
        """Those that closed either end of a connection. `key`: as of Segment, whichever end sent it."""
        size = (len(key) - 4) // 2
        one, other = (key[:size], key[-4:-2]), (key[size : 2 * size], key[-2:])
        found = (self._noted(*one, *other), self._noted(*other, *one))
        return [owner for owner in found if owner is not None]

    def close(self) -> None:
        """Afterwards nobody has closed anything."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _noted(self, local: bytes, port: bytes, remote: bytes, remote_port: bytes) -> Owner | None:
        ways = [(AF_INET6, local, remote)]
        if len(local) == 4:  # a socket of IPv6 may have it, too
            ways = [(AF_INET, local, remote), (AF_INET6, _MAPPED + local, _MAPPED + remote)]
        for family, mine, other in ways:
            try:
                noted = self._sockets[
                    pack_ends(family, mine, int.from_bytes(port, "big"), other, int.from_bytes(remote_port, "big"))
                ]
            except KeyError:
                continue
            except OSError:  # it was closed
                return None
            pid = int.from_bytes(noted[:4], "little")
            return Owner(pid, noted[8:].partition(b"\0")[0].decode("utf-8", "replace")) if pid else None
        return None


def _program(sockets: Map, fields: SocketFields, port: int, shutdown: int) -> ProbeProgram:
    """`port`: offset of the local one as on the wire, which a socket in CLOSE still has; `shutdown`: of that field."""
    architecture = here()
    if architecture is None:
        raise NotFound("probes are not known for this processor")
    program = ProbeProgram(architecture)
    ends, owner = program.room(TUPLE), program.room(8 + NAME)
    program.load(R1, R6, 16, size=8).load(R7, R6, 0, size=8)
    for state in (_FIN_WAIT1, _LAST_ACK):
        program.jump_if(R1, Test.EQUAL, state, "closing", bits=32)
    program.jump_if(R1, Test.NOT_EQUAL, _CLOSE, "out", bits=32)
    program.load(R1, R6, 8, size=8)
    for state in (_ESTABLISHED, _CLOSE_WAIT):
        program.jump_if(R1, Test.EQUAL, state, "shut down", bits=32)
    program.jump("out").label("shut down").store(FRAME, owner, 0, size=8).move(R3, R7).add(R3, shutdown)
    program.read_kernel(owner, 1, R3).load(R1, FRAME, owner, size=1).jump_if(R1, Test.NOT_EQUAL, _SHUT_DOWN, "out")
    program.label("closing").zero(ends, TUPLE).zero(owner, 8 + NAME)
    read_ends(program, fields, ends, "out")
    for place in (0, 1):
        program.move(R3, R7).add(R3, port + place).read_kernel(ends + 3 - place, 1, R3)
    task_of_kernel().identify(program, pid=owner, comm=owner + 8)
    program.map(R1, sockets.fd).move(R2, FRAME).add(R2, ends).move(R3, FRAME).add(R3, owner).move(R4, 0)
    return program.call(Helper.MAP_UPDATE).label("out").leave()

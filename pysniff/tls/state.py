"""What of a TLS connection it takes to read on where everything before is gone, as bytes and back.

There is no key in it, and of what is encrypted only what the server chose behind its hello, where it was decrypted. A
half that nobody could decrypt is counted: whoever has its secrets finds out by trial where it is.
"""

from __future__ import annotations

from typing import NamedTuple

from pysniff.dissector import Malformed
from pysniff.limits import KIB, Limits
from pysniff.state_bytes import Reader, Writer
from pysniff.tls.half import HEADER, LONGEST, TAIL, Epoch, Half, Onward
from pysniff.tls.handshakes import Part
from pysniff.tls.hello import ClientHello, ServerHello
from pysniff.tls.numbers import TLS13
from pysniff.tls.session import Session

_VERSION = 1
_HELLO = 16 * KIB  # bytes, of one that is abridged
_NAME = 255  # of a protocol in ALPN
_COUNT = 1 << 56
# KeyUpdates that are followed: each is a derivation.
_UPDATES = 4_096
# Records of which nobody knows whether they were said, behind a loss in a half that nobody decrypts.
_SLACK = 4_096
_CHAIN = 16
_EPOCHS = tuple(Epoch)
_EARLY = (None, False, True)


class HalfState(NamedTuple):
    """`held`: of a record that is not all there. The others are those of Half."""

    sealed: bool
    over: bool
    spoke: bool
    epoch: Epoch
    records: int
    slack: int
    onward: Onward | None
    tail: bytes
    part: Part
    held: bytes


class State(NamedTuple):
    """`hello`, `answer`: abridged, the latter empty where it is still to come."""

    hello: bytes
    answer: bytes
    retried: bool
    early: bool | None
    took_early: bool
    alpn: str
    halves: tuple[HalfState, HalfState]


def remember(session: Session) -> bytes | None:
    """None where nothing would come of it."""
    agreement = session.agreement
    hello, answer = agreement.hello, agreement.answer
    if hello is None or (answer is not None and agreement.obstacle() is not None):
        return None
    found = [_half_of(session, half) for half in session.halves]
    client, server = found
    if client is None or server is None or (answer is None and (client.sealed or server.sealed)):
        return None
    out = Writer()
    known = agreement.encryption
    alpn = known.alpn if len(known.alpn) <= _NAME else ""
    chosen = answer.abridged() if answer is not None else b""
    said = hello.abridged()
    if len(said) > _HELLO or len(chosen) > _HELLO:
        return None
    _write(out, State(said, chosen, agreement.retried, agreement.early, known.early_data, alpn, (client, server)))
    return bytes(out.text)


def recall(session: Session, text: bytes, limits: Limits) -> bool:
    """Go on from there; whether both halves were read as far as that. Raises Malformed for what remember() did not
    give."""
    state = _read(text, limits)
    agreement, known = session.agreement, session.agreement.encryption
    agreement.client_hello(ClientHello(state.hello))
    if state.retried:
        agreement.retry()
    if state.answer:
        session.answered(ServerHello(state.answer))
    if agreement.version != TLS13 and any(half.onward is not None and half.onward.updates for half in state.halves):
        raise Malformed("a KeyUpdate before TLS 1.3")
    agreement.early, known.early_data, known.alpn = state.early, state.took_early, state.alpn
    for half, one in zip(session.halves, state.halves, strict=True):
        _go_on(half, one)
    return all(half.onward is not None or not half.sealed for half in session.halves)


def _half_of(session: Session, half: Half) -> HalfState | None:
    if half.is_searching or half.slack > _SLACK or (half.dead is not None and not session.counts(half)):
        return None
    if half.queue and not half.sealed:
        return None
    onward = half.onward if half.trial or half.key is None else None
    sure = half.dead is None and not half.queue and not half.lost and not half.trial
    if sure and half.sealed and (half.unopened is None or half.opened_any):
        key = half.key
        if key is not None:
            onward = Onward(key.opener.sequence, half.updates, key.opener.chain())
        elif onward is None:
            onward = Onward(0, 0, b"")
    else:
        onward = None
    if onward is not None and onward.updates > _UPDATES:
        return None
    records = half.records + len(half.queue)
    tail, part, held = half.tail, half.handshakes.part(), half.rest()
    return HalfState(half.sealed, half.over, half.spoke, half.epoch, records, half.slack, onward, tail, part, held)


def _go_on(half: Half, state: HalfState) -> None:
    half.sealed, half.over, half.spoke, half.epoch = state.sealed, state.over, state.spoke, state.epoch
    half.records, half.slack, half.onward, half.tail = state.records, state.slack, state.onward, state.tail
    if half.onward is not None:
        half.updates = half.onward.updates
    elif half.sealed:
        half.trial, half.epoch = True, Epoch.APPLICATION
    if not half.trial:
        half.handshakes.go_on(state.part)
    half.go_on(state.held)


def _write(out: Writer, state: State) -> None:
    out.number(_VERSION)
    out.data(state.hello)
    out.data(state.answer)
    for number in (state.retried, _EARLY.index(state.early), state.took_early):
        out.number(number)
    out.string(state.alpn)
    for half in state.halves:
        for number in (half.sealed, half.over, half.spoke, _EPOCHS.index(half.epoch), half.records, half.slack):
            out.number(number)
        onward = half.onward
        out.number(onward is not None)
        if onward is not None:
            out.number(onward.sequence)
            out.number(onward.updates)
            out.data(onward.chain)
        out.data(half.tail)
        out.number(half.part.kind + 1)
        out.number(half.part.left)
        out.data(half.part.data)
        out.data(half.held)


def _read(text: bytes, limits: Limits) -> State:
    source = Reader(text)
    if source.number(_VERSION) != _VERSION:
        raise Malformed("a state of another version")
    hello, answer = source.data(_HELLO), source.data(_HELLO)
    retried, early, took_early = source.flag(), _EARLY[source.number(len(_EARLY) - 1)], source.flag()
    alpn = source.string()
    halves = _read_half(source, limits), _read_half(source, limits)
    source.end()
    if not answer and any(half.sealed for half in halves):
        raise Malformed("encrypted before it was agreed how")
    return State(hello, answer, retried, early, took_early, alpn, halves)


def _read_half(source: Reader, limits: Limits) -> HalfState:
    sealed, over, spoke = source.flag(), source.flag(), source.flag()
    epoch, records, slack = _EPOCHS[source.number(len(_EPOCHS) - 1)], source.number(_COUNT), source.number(_SLACK)
    onward = None
    if source.flag():
        onward = Onward(source.number(_COUNT), source.number(_UPDATES), source.data(_CHAIN))
    tail = source.data(TAIL)
    part = Part(source.number(0x100) - 1, source.number(0xFFFFFF), source.data(limits.head_bytes))
    held = source.data(HEADER + LONGEST)
    return HalfState(sealed, over, spoke, epoch, records, slack, onward, tail, part, held)

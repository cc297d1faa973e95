"""The handshake's request and response, held until it is settled what becomes of the application data."""

from __future__ import annotations

from copy import copy

from pysniff.message import CLIENT, SERVER, Fault, Message, Role, Side
from pysniff.tls.agreement import Agreement
from pysniff.tls.half import HEADER, Record
from pysniff.tls.hello import ClientHello, ServerHello
from pysniff.tls.messages import TlsAnswer, TlsHello, TlsJoined

_GAP = Fault("gap", "bytes of the server's handshake were lost")
_JOINED = Fault("midstream", "the handshake was not seen")


class Exchange:
    """`settled`: both are given, and do not change any more."""

    def __init__(self, agreement: Agreement) -> None:
        self.settled = False
        self._agreement = agreement
        self._request: TlsHello | None = None
        self._response: TlsAnswer | None = None
        self._alert: tuple[str, str] | None = None
        self._gap = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing of a handshake was seen."""
        return self._request is None and self._response is None

    def held(self, side: Side) -> int:
        """Bytes of a half in messages that are not given yet."""
        message = self._request if side is CLIENT else self._response
        return message.size if message is not None and not self.settled else 0

    def hello(self, hello: ClientHello, first: int, last: int, position: int, size: int) -> None:
        self._request = TlsHello(CLIENT, first, last, position, size, hello, self._agreement.encryption)

    def answer(self, hello: ServerHello | None, first: int, last: int, position: int, size: int) -> None:
        """`hello` is None where the server refused by an alert."""
        self._response = TlsAnswer(SERVER, first, last, position, size, hello, self._agreement.encryption)

    def alert(self, name: str, side: Side) -> None:
        """A fatal one, before anything is settled."""
        self._alert = name, side.name.lower()

    def lose(self, side: Side) -> None:
        self._gap |= side is SERVER

    def joined(self, side: Side, record: Record) -> int:
        """Nobody saw a handshake: this record's header stands for it. How many bytes it takes."""
        response = TlsJoined(
            side, record.first, record.at, record.position, HEADER, None, self._agreement.encryption, (_JOINED,)
        )
        self._response = response
        return HEADER

    def settle(self, not_decrypted: str) -> list[Message]:
        """What to give."""
        self.settled = True
        response = self._response
        if response is not None:
            self._complete(response, not_decrypted)
        return [message for message in (self._request, response) if message is not None]

    def begun(self) -> list[Message]:
        """Both as they are now."""
        if self.settled:
            return []
        found: list[Message] = []
        if self._request is not None:
            request = copy(self._request)
            request.encryption = copy(request.encryption)
            found.append(request)
        if self._response is not None:
            response = copy(self._response)
            response.encryption = copy(response.encryption)
            self._complete(response, "")
            found.append(response)
        return found

    def _complete(self, response: TlsAnswer, not_decrypted: str) -> None:
        response.not_decrypted = not_decrypted
        response.retried = self._agreement.retried
        if self._alert is not None:
            response.alert, response.alert_from = self._alert
        if self._gap and response.role is not Role.ALONE:
            response.faults += (_GAP,)

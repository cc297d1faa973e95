"""Key logs in NSS's format (draft-ietf-tls-keylogfile): bytes in, cut anywhere, secrets out.

A line that is none costs itself and nothing else, and is counted with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pysniff.secrets import Secret

# The longest line that means something has 230 characters; programs may write comments.
LONGEST_LINE = 1024
RANDOM = 32  # bytes
# A label, and how many bytes its value may have: a hash of the suite's, or TLS 1.2's master secret.
_HASHES = frozenset((32, 48))
LABELS = {
    "CLIENT_RANDOM": frozenset((48,)),
    "CLIENT_EARLY_TRAFFIC_SECRET": _HASHES,
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET": _HASHES,
    "SERVER_HANDSHAKE_TRAFFIC_SECRET": _HASHES,
    "CLIENT_TRAFFIC_SECRET_0": _HASHES,
    "SERVER_TRAFFIC_SECRET_0": _HASHES,
}
# They belong there, and decrypt nothing.
_EXPORTERS = frozenset(("EXPORTER_SECRET", "EARLY_EXPORTER_SECRET", "EARLY_EXPORTER_MASTER_SECRET"))

TOO_LONG, NO_LINE, BAD_HEX, BAD_SIZE, UNKNOWN = (
    "longer than any line of a key log",
    "no label, client random and secret",
    "not hexadecimal",
    "a client random or secret of a wrong length",
    "a label that decrypts nothing here",
)


class KeyLog:
    """feed() bytes as they come, end() where no more will. `useless`: lines of no use, by reason; `secrets`: how many
    were found."""

    def __init__(self) -> None:
        self.secrets = 0
        self.useless: Counter[str] = Counter()
        self._rest = b""
        self._skips = False  # the rest of a line that is too long

    def feed(self, data: bytes) -> list[Secret]:
        """The secrets whose lines are whole now."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if self._skips and lines:
            del lines[0]
            self._skips = False
        if len(self._rest) > LONGEST_LINE:
            self._rest = b""
            if not self._skips:
                self._skips = True
                self.useless[TOO_LONG] += 1
        return self._secrets(lines)

    def end(self) -> list[Secret]:
        """That of the last line, which may lack its end."""
        rest, self._rest = self._rest, b""
        skips, self._skips = self._skips, False
        return [] if skips else self._secrets([rest])

    def _secrets(self, lines: Iterable[bytes]) -> list[Secret]:
        found = []
        for line in lines:
            result = parse(line)
            if isinstance(result, Secret):
                found.append(result)
            elif result:
                self.useless[result] += 1
        self.secrets += len(found)
        return found


def parse(line: bytes) -> Secret | str:
    """The secret of a line; why there is none; or "" for an empty line, a comment and what exporters use."""
    if len(line) > LONGEST_LINE:
        return TOO_LONG
    words = line.split()  # at any white space: lines may end in CR LF
    if not words or words[0].startswith(b"#"):
        return ""
    if len(words) != 3:
        return NO_LINE
    label = words[0].decode("ascii", "replace")
    sizes = LABELS.get(label)
    if sizes is None:
        return "" if label in _EXPORTERS else UNKNOWN
    try:
        random, value = bytes.fromhex(words[1].decode("ascii")), bytes.fromhex(words[2].decode("ascii"))
    except ValueError:
        return BAD_HEX
    if len(random) != RANDOM or len(value) not in sizes:
        return BAD_SIZE
    return Secret(label, random, value)


def write(secrets: Iterable[Secret]) -> bytes:
    """A key log of these."""
    return b"".join(
        b"%s %s %s\n" % (label.encode(), random.hex().encode(), value.hex().encode())
        for label, random, value in secrets
    )

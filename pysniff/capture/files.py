"""Opens captures for reading: what they are is told from their content, never from their name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NoReturn

from pysniff.capture import Idle
from pysniff.capture.clock import PacketClock
from pysniff.capture.compression import GZIP, ZSTD, Gunzip, Unpacker, Unzstd
from pysniff.capture.merge import merge as merge
from pysniff.capture.pcap import MAGICS, PcapParser
from pysniff.capture.pcapng import MAGIC, PcapngParser
from pysniff.capture.secrets_ahead import SEARCHED, secrets_ahead
from pysniff.capture.stream import CHUNK, Event, Stream
from pysniff.errors import FileError, PysniffError, ReadError
from pysniff.packet import Block

Parser = PcapParser | PcapngParser

# First bytes of what people take for captures, or name by mistake.
_LOOKS_LIKE = (
    (b"\xfd7zXZ\0", "xz; unpack it first"),
    (b"BZh", "bzip2; unpack it first"),
    (b"\x04\x22\x4d\x18", "lz4; unpack it first"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"snoop\0\0\0", "a snoop capture; convert it with editcap"),
    (b"btsnoop\0", "a Bluetooth capture; convert it with editcap"),
    (b"GMBU", "a Microsoft Network Monitor capture; convert it with editcap"),
    (b"RTSS", "a Microsoft Network Monitor capture; convert it with editcap"),
    (b"TRSNIFF", "a Sniffer capture; convert it with editcap"),
    (b"XCP\0", "a NetXRay capture; convert it with editcap"),
    (b"\x7fELF", "a program"),
    (b"#!", "a script"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture"),
    (b"<", "a web page or XML"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)


def open_capture(path: str | os.PathLike[str], follow: bool = False, runs: bool = False) -> CaptureFile:
    """Open a pcap or pcapng file, plain or as gzip or zstd; "-" is stdin. `runs`: records may be runs, see Block.

    Raises FileError; of a pipe or a followed file only the iteration can, since its first bytes may be yet to come.
    """
    return CaptureFile(os.fspath(path), follow, runs)


class CaptureFile:
    """Iterate once for its Blocks; raises ReadError where the capture breaks off, after everything before.

    A pipe or a followed file also yields Idle where nothing comes. `format`: like "pcapng" or "gzip pcap",
    "" until known. `position` and `size` are bytes of the file itself, for progress; `size` is None for a pipe.
    """

    def __init__(self, path: str, follow: bool = False, runs: bool = False) -> None:
        self._runs = runs
        self.format = ""
        self._secrets: list[tuple[int, bytes]] = []
        self._secrets_taken = 0
        self._ahead: list[tuple[int, bytes]] | None = None  # once looked for
        self._ended = False
        self._stream = Stream(path, follow)
        self._clock = PacketClock()
        self._begin()
        if self._stream.regular and not self._stream.follow:
            try:
                self._check(self._stream.head())
            except PysniffError as error:
                self.close()
                raise self._named(error) from None

    @property
    def path(self) -> str:
        return self._stream.path

    @property
    def size(self) -> int | None:
        return self._stream.size

    @property
    def position(self) -> int:
        return self._stream.position

    @property
    def notices(self) -> list[str]:
        """What a person should know, in order: that a followed file was replaced."""
        return self._stream.notices

    @property
    def secrets(self) -> list[tuple[int, bytes]]:
        """(type, bytes) of every decryption secrets block so far."""
        return self._secrets + (self._parser.secrets if isinstance(self._parser, PcapngParser) else [])

    @property
    def reads_on(self) -> bool:
        """Whether secrets may come that are not known yet."""
        return not self._ended and not self._ahead

    def take_secrets(self) -> list[tuple[int, bytes]]:
        """(type, bytes) of decryption secrets blocks that are known since this was last called: at first all of a file
        that is no larger than SEARCHED and not compressed, else as they are read."""
        if self._ahead is None:
            searched = self._stream.regular and not self._stream.follow and (self._stream.size or 0) <= SEARCHED
            self._ahead = secrets_ahead(self._stream.part) if searched else []
            if self._ahead:
                return self._ahead
        if self._ahead:
            return []
        here = self._parser.secrets if isinstance(self._parser, PcapngParser) else []
        taken, self._secrets_taken = self._secrets_taken, len(self._secrets) + len(here)
        return self.secrets[taken:] if self._secrets_taken > taken else []

    @property
    def dropped(self) -> int:
        """Packets that the capturing program says it lost, from its statistics blocks so far."""
        return self._parser.dropped if isinstance(self._parser, PcapngParser) else 0

    def take_names(self) -> list[tuple[bytes, str]]:
        """Addresses and their names that the capture brought with it since this was last called."""
        if not isinstance(self._parser, PcapngParser) or not self._parser.names:
            return []
        names, self._parser.names = self._parser.names, []
        return names

    def close(self) -> None:
        """End the iteration; callable from a signal handler or another thread."""
        self._stream.close()

    def __enter__(self) -> CaptureFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Block | Idle]:
        timed = self._stream.follow or not self._stream.regular
        looked = self._clock.now()  # before each look: whoever is held up behind it has not read what came meanwhile
        try:
            for chunk in self._stream.chunks():
                if chunk is Event.QUIET:
                    yield Idle(looked)
                elif chunk is Event.ANEW:
                    self._begin()
                elif isinstance(chunk, bytes):
                    for block in self._blocks(chunk):
                        if timed:
                            self._clock.saw(block.records[-1][0])
                        yield block
                looked = self._clock.now()
            if not self._stream.closed:
                yield from self._end()
            self._ended = True
        except PysniffError as error:
            raise self._named(error) from None

    def _named(self, error: PysniffError) -> PysniffError:
        label = self._stream.label
        return error if error.message.startswith(label) else type(error)(f"{label}: {error.message}", hint=error.hint)

    def _begin(self) -> None:
        self._secrets = self.secrets if hasattr(self, "_parser") else []
        self._head = b""
        self._unpacker: Unpacker | None = None
        self._plain = False
        self._parser: Parser | None = None

    def _check(self, head: bytes) -> None:
        """Raise FileError now rather than at the first packet."""
        try:
            for _ in self._blocks(head):
                break
            if len(head) < CHUNK:  # that was all
                self._end_parser()
        except ReadError:
            pass  # the iteration says it, after what was good
        self._begin()

    def _blocks(self, chunk: bytes) -> Iterator[Block]:
        if not self._plain and self._unpacker is None:
            self._head += chunk
            if len(self._head) < 4:
                return
            chunk, self._head = self._head, b""
            self._unpacker = _unpacker(chunk)
            self._plain = self._unpacker is None
        if self._unpacker is None:
            yield from self._parse(chunk)
        else:
            for data in self._unpacker.feed(chunk):
                yield from self._parse(data)

    def _parse(self, data: bytes) -> Iterator[Block]:
        if self._parser is None:
            self._head += data
            if len(self._head) < 4:
                return
            data, self._head = self._head, b""
            self._parser = self._parser_of(data)
        yield from self._parser.feed(data)

    def _parser_of(self, data: bytes) -> Parser:
        parser: Parser
        if data[:4] in MAGICS:
            parser = PcapParser(self._runs)
        elif data[:4] == MAGIC:
            parser = PcapngParser()
        else:
            self._refuse(data)
        self.format = parser.name if self._unpacker is None else f"{self._unpacker.name} {parser.name}"
        return parser

    def _end(self) -> Iterator[Block]:
        if self._unpacker is not None:
            for data in self._unpacker.end():
                yield from self._parse(data)
        self._end_parser()

    def _end_parser(self) -> None:
        if self._parser is None:
            self._refuse(self._head)
        self._parser.end()

    def _refuse(self, data: bytes) -> NoReturn:
        inside = "" if self._unpacker is None else f"{self._unpacker.name} of "
        if not data:
            raise FileError(f"not a capture: {inside}nothing" if inside else "the file is empty")
        raise FileError(f"not a capture: it looks like {inside}{_looks_like(data)}", hint="pcap and pcapng are read")


def _unpacker(head: bytes) -> Unpacker | None:
    if head[:2] == GZIP:
        return Gunzip()
    # RFC 8878 section 3.1.2: a skippable frame may come first.
    if head[:4] == ZSTD or (head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5):
        return Unzstd()
    return None


def _looks_like(data: bytes) -> str:
    for magic, name in _LOOKS_LIKE:
        if data.startswith(magic):
            return name
    start = data[:256]
    if all(byte in b"\t\n\r\f" or 0x20 <= byte < 0x7F for byte in start):
        return "text"
    return f"unknown binary data ({data[:4].hex(' ')})"

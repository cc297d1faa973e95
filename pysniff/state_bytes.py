"""What a dissector remembers, as bytes and back: numbers are LEB128, strings have their length before them.

The bytes come from files: nothing of them is believed.
"""

from __future__ import annotations

from pysniff.dissector import Malformed


class Writer:
    def __init__(self) -> None:
        self.text = bytearray()

    def number(self, number: int) -> None:
        while number > 0x7F:
            self.text.append(number & 0x7F | 0x80)
            number >>= 7
        self.text.append(number)

    def data(self, data: bytes) -> None:
        self.number(len(data))
        self.text += data

    def string(self, string: str) -> None:
        self.data(string.encode())


class Reader:
    """Every method raises Malformed where the bytes say something else."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0

    def number(self, most: int) -> int:
        number = shift = 0
        while True:
            if self._at >= len(self._text) or shift > 56:
                raise Malformed("a state that ends within a number")
            byte = self._text[self._at]
            self._at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if number > most:
            raise Malformed("a number that is too large")
        return number

    def flag(self) -> bool:
        return bool(self.number(1))

    def data(self, most: int) -> bytes:
        size = self.number(most)
        data = self._text[self._at : self._at + size]
        if len(data) < size:
            raise Malformed("a state that ends within a string")
        self._at += size
        return data

    def string(self) -> str:
        try:
            return self.data(len(self._text)).decode()
        except UnicodeDecodeError:
            raise Malformed("a string that is no text") from None

    def end(self) -> None:
        if self._at != len(self._text):
            raise Malformed("a state with something behind it")

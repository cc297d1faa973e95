"""JA3 and JA3S (Salesforce), JA4 (FoxIO): what a hello looks like, in a word that is the same for like programs."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import md5, sha256

from pysniff.tls.hello import ClientHello, ServerHello
from pysniff.tls.numbers import ALPN, SERVER_NAME
from pysniff.tls.suites import is_grease

_JA4_VERSIONS = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2"}


def _without_grease(numbers: Iterable[int]) -> list[int]:
    return [number for number in numbers if not is_grease(number)]


def _decimal(numbers: Iterable[int]) -> str:
    return "-".join([str(number) for number in _without_grease(numbers)])


def _hexadecimal(numbers: Iterable[int]) -> str:
    return ",".join([f"{number:04x}" for number in numbers])


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()


def _short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12] if text else "0" * 12


def ja3(hello: ClientHello) -> str:
    parts = (hello.cipher_suites, hello.extensions, hello.groups)
    formats = "-".join([str(number) for number in hello.point_formats])
    return _md5(",".join([str(hello.version), *[_decimal(numbers) for numbers in parts], formats]))


def ja3s(hello: ServerHello) -> str:
    return _md5(f"{hello.version},{hello.cipher_suite},{_decimal(hello.extensions)}")


def ja4(hello: ClientHello) -> str:
    """Over TCP."""
    suites, extensions = _without_grease(hello.cipher_suites), _without_grease(hello.extensions)
    version = _JA4_VERSIONS.get(max(_without_grease(hello.versions), default=0), "00")
    sni = "d" if SERVER_NAME in hello.extensions else "i"
    counts = f"{min(len(suites), 99):02}{min(len(extensions), 99):02}"
    sorted_suites = _hexadecimal(sorted(suites))
    told = _hexadecimal(sorted(number for number in extensions if number not in (SERVER_NAME, ALPN)))
    algorithms = _hexadecimal(_without_grease(hello.signature_algorithms))
    both = f"{told}_{algorithms}" if algorithms else told
    return f"t{version}{sni}{counts}{_ends(hello.alpn)}_{_short(sorted_suites)}_{_short(both)}"


def _ends(names: list[bytes]) -> str:
    """The first and the last character of the first name of ALPN; of its hexadecimal form, where they are none."""
    name = names[0] if names else b""
    if not name:
        return "00"
    if name[:1].isalnum() and name[-1:].isalnum():
        return chr(name[0]) + chr(name[-1])
    return name.hex()[0] + name.hex()[-1]

"""Names of addresses from files: lines as in /etc/hosts, or a mapping in YAML, told apart by their content.

10.0.0.7     shop cart   # the first name counts          10.0.0.7: shop
10.1.0.0/16  batch                                         10.1.0.0/16: batch
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Self

from pysniff.errors import FileError
from pysniff.limits import MIB
from pysniff.names import LONGEST, NOTHING, Names

Source = Names | str | os.PathLike[str] | None
# Bytes: 300,000 lines. A second a MiB is what YAML takes to read, so there is less of it.
LARGEST, LARGEST_YAML = 16 * MIB, 2 * MIB
_YAML_BEGINS = "-%{[\"'!&*?|>"
_HINT = "a line is like 10.0.0.7 shop, or 10.0.0.7: shop in YAML"


def names_from(source: Source) -> Names:
    """The names themselves, or those in a file; raise FileError."""
    if source is None:
        return NOTHING
    return source if isinstance(source, Names) else Names(Hosts.read(source))


class Hosts:
    """A NameSource of addresses and networks; the one with the longest prefix counts, of equal ones the first."""

    def __init__(self) -> None:
        # By bytes of an address and length of the prefix, the longest first: names by those bits.
        self._names: dict[tuple[int, int], dict[int, str]] = {}

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Raise FileError where a file cannot be read or is none of names, with the line."""
        label = os.fspath(path)
        try:
            with Path(path).open("rb") as stream:
                content = stream.read(LARGEST + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise FileError(f"{label}: {reason}", hint="--names takes a file of addresses and names") from None
        if len(content) > LARGEST:
            raise FileError(f"{label}: more than {LARGEST // MIB} MiB of names")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise FileError(f"{label}:{line}: no text in UTF-8", hint=_HINT) from None
        return cls.parse(text, label)

    @classmethod
    def parse(cls, text: str, label: str = "names") -> Self:
        """The same of text; `label` stands before the line in errors."""
        found = cls()
        for line, where, name in _lines(text) if _is_hosts(text) else _yaml(text, label):
            try:
                # An address may name its zone (RFC 4007 §11): packets do not.
                network = ip_network(where.split("%")[0], strict=False)
            except ValueError:
                raise FileError(f"{label}:{line}: {where[:60]!r} is no address or network", hint=_HINT) from None
            if not 0 < len(name) <= LONGEST or not name.isprintable() or " " in name:
                raise FileError(f"{label}:{line}: {name[:60]!r} is no name", hint=_HINT)
            found._add(network, name)
        found._names = dict(sorted(found._names.items(), reverse=True))
        return found

    def _add(self, network: IPv4Network | IPv6Network, name: str) -> None:
        size = network.max_prefixlen // 8
        bits = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
        self._names.setdefault((size, network.prefixlen), {}).setdefault(bits, name)

    def name_at(self, address: bytes, time_ns: int) -> str:
        """As of NameSource; a file says nothing of times."""
        number = int.from_bytes(address, "big")
        for (size, prefix), names in self._names.items():
            if size == len(address):
                name = names.get(number >> (8 * size - prefix))
                if name is not None:
                    return name
        return ""

    def __len__(self) -> int:
        return sum(map(len, self._names.values()))


def _is_hosts(text: str) -> bool:
    """Whether the first line that says something begins with an address, or at least not as YAML does."""
    for _, where, _ in _lines(text):
        try:
            ip_network(where.split("%")[0], strict=False)
        except ValueError:
            return not where.endswith(":") and where[0] not in _YAML_BEGINS
        return True
    return True


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, address and first name; hosts(5)."""
    for line, content in enumerate(text.splitlines(), 1):
        words = content.partition("#")[0].split()
        if words:
            yield line, words[0], words[1] if len(words) > 1 else ""


def _yaml(text: str, label: str) -> Iterator[tuple[int, str, str]]:
    """Line, key and value of a mapping, as they are written: 10.10 and on are names too."""
    try:
        import yaml
    except ImportError:
        hint = "pip install pyyaml, or write lines like 10.0.0.7 shop"
        raise FileError(f"{label}: YAML, which PyYAML reads", hint=hint) from None
    if len(text) > LARGEST_YAML:
        raise FileError(f"{label}: more than {LARGEST_YAML // MIB} MiB of YAML", hint="write lines like 10.0.0.7 shop")
    try:
        root = yaml.compose(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise FileError(f"{label}{where}: {problem}", hint=_HINT) from None
    except RecursionError:
        raise FileError(f"{label}: nested too deep for names", hint=_HINT) from None
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        raise FileError(f"{label}:{root.start_mark.line + 1}: neither lines of names nor a mapping", hint=_HINT)
    for key, value in root.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or not isinstance(value, yaml.ScalarNode):
            raise FileError(f"{label}:{line}: not an address and its name", hint=_HINT)
        yield line, key.value, value.value

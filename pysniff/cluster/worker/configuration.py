"""What a hub may set on a worker at run time: a document that names some settings; the command line says the rest.

So one document fits nodes whose interfaces and disks differ. Documents have versions; the command line is version 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from ipaddress import ip_address, ip_network
from math import isfinite
from types import MappingProxyType

from pysniff.cluster.worker.capturing_words import CaptureSettings
from pysniff.cluster.worker.tracing_words import MODES, TracingSettings
from pysniff.errors import OptionError

# What every JSON reader can tell apart.
LAST_VERSION = (1 << 53) - 1
# Addresses and networks; libpcap compiles so many in a few milliseconds.
MOST_TARGETS = 256
# No disk is larger, in bytes.
LARGEST_STORE = 1 << 50
Setting = tuple[str, ...] | str | int | float


@dataclass(frozen=True, slots=True)
class Document:
    """A version, and the settings that it names; read-only."""

    version: int = 0
    settings: Mapping[str, Setting] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, told: Mapping[str, object]) -> Document:
        """Of what a hub or a file says; raise OptionError at the first thing that is wrong."""
        settings: dict[str, Setting] = {}
        for name, value in told.items():
            if name == "version":
                continue
            if name not in _CHECKS:
                near = get_close_matches(str(name), _CHECKS, n=1)
                raise OptionError(f"{str(name)[:64]!r}: no such setting", hint=f"{near[0]}?" if near else _NAMES)
            settings[name] = _CHECKS[name](name, value)
        return cls(_whole("version", told.get("version"), 0, LAST_VERSION), MappingProxyType(settings))

    def to_dict(self) -> dict[str, object]:
        return {"version": self.version, **{name: _plain(value) for name, value in self.settings.items()}}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Document) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.version)


@dataclass(frozen=True, slots=True)
class Configuration:
    """Every setting in force. `targets`: only packets from or to these addresses and networks; none: any. `tls`: how
    keys are read out of programs, as TracingSettings.mode; "": as the command line says, and it alone allows it."""

    version: int = 0
    capture: CaptureSettings = field(default_factory=CaptureSettings)
    targets: tuple[str, ...] = ()
    tls: str = ""

    def overlaid(self, document: Document) -> Configuration:
        """This, where the document does not say otherwise; raise OptionError where they do not go together."""
        named = dict(document.settings)
        targets, tls = named.pop("targets", self.targets), named.pop("tls", self.tls)
        assert isinstance(targets, tuple)
        capture = replace(self.capture, **named)  # type: ignore[arg-type] # checked by name
        found = replace(self, version=document.version, targets=targets, tls=str(tls), capture=capture)
        problem = found.settings().problem()
        if problem:
            raise OptionError(problem)
        return found

    def settings(self) -> CaptureSettings:
        """What the capture is told: targets are part of its filter."""
        return replace(self.capture, bpf=narrowed(self.capture.bpf, self.targets))

    def traced(self, allowed: TracingSettings) -> TracingSettings:
        """What is read out of programs, where the command line allows it."""
        return replace(allowed, mode=self.tls) if self.tls and allowed.mode != "off" else allowed

    def to_dict(self) -> dict[str, object]:
        values = {name: _plain(value) for name, value in self.capture.to_dict().items()}
        return {"version": self.version, **values, "targets": list(self.targets), "tls": self.tls}


def narrowed(bpf: str, targets: tuple[str, ...]) -> str:
    """A capture filter for what passes `bpf` and has one of these ends."""
    if not targets:
        return bpf
    ends = " or ".join(f"net {target}" if "/" in target else f"host {target}" for target in targets)
    return f"({bpf}) and ({ends})" if bpf.strip() else ends


def _whole(name: str, value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise OptionError(f"{name}: not a whole number from {least} to {most}")
    return value


def _bytes(name: str, value: object) -> Setting:
    return _whole(name, value, 0, LARGEST_STORE)


def _seconds(name: str, value: object) -> Setting:
    if type(value) not in (int, float) or not isinstance(value, (int, float)) or not isfinite(value):
        raise OptionError(f"{name}: not a number of seconds")
    return float(value)


def _text(name: str, value: object) -> Setting:
    if not isinstance(value, str) or not value.isprintable():
        raise OptionError(f"{name}: not text on one line")
    return value


def _names(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) and one.isprintable() for one in value):
        raise OptionError(f"{name}: not a list of names")
    return tuple(value)


def _interfaces(name: str, value: object) -> Setting:
    found = _names(name, value)
    # netdevice(7): 15 bytes without / and white space; libpcap takes longer names for other things, even addresses.
    if any(not one or len(one.encode()) > 15 or "/" in one or " " in one for one in found):
        raise OptionError(f"{name}: not the name of an interface", hint="pysniff -D lists them")
    return found


def _namespaces(name: str, value: object) -> Setting:
    found = _names(name, value)
    # A hub must not make a worker open any file of its node: whoever starts it may give paths, on the command line.
    if any("/" in one or one.startswith(".") for one in found):
        raise OptionError(f"{name}: a path", hint="give names as `ip netns` shows them, or all")
    return found


def _targets(name: str, value: object) -> Setting:
    found = _names(name, value)
    if len(found) > MOST_TARGETS:
        raise OptionError(f"{name}: {len(found)} of them, {MOST_TARGETS} at most")
    return tuple(dict.fromkeys(_target(name, one) for one in found))


def _target(name: str, text: str) -> str:
    """As libpcap reads it: of a network the host's part is zero."""
    try:
        if "%" in text:
            raise ValueError
        return str(ip_network(text, strict=False)) if "/" in text else str(ip_address(text))
    except ValueError:
        hint = "give 10.0.0.7, fe80::1 or 10.0.0.0/8"
        raise OptionError(f"{name}: {text[:64]!r} is no address and no network", hint=hint) from None


def _mode(name: str, value: object) -> Setting:
    if value not in MODES:
        raise OptionError(f"{name}: not one of {', '.join(MODES)}")
    return str(value)


_CHECKS: dict[str, Callable[[str, object], Setting]] = {
    "interfaces": _interfaces,
    "netns": _namespaces,
    "bpf": _text,
    "targets": _targets,
    "storage_limit": _bytes,
    "flush_interval": _seconds,
    "tls": _mode,
}
_NAMES = f"there are version, {', '.join(_CHECKS)}"


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value

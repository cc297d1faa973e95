"""The network interfaces of this machine, as libpcap and the C library know them."""

from __future__ import annotations

import ctypes
import difflib
import socket
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pcapy

from pysniff.errors import CaptureError

_UP, _LOOPBACK = 1, 8  # IFF_UP, IFF_LOOPBACK

# What libpcap offers beside network interfaces; pcapy does not pass its descriptions on.
DEVICES = {
    "any": "all interfaces at once; a routed packet shows twice",
    "bluetooth-monitor": "Bluetooth, as its monitor sees it",
    "dbus-session": "D-Bus session bus",
    "dbus-system": "D-Bus system bus",
    "nflog": "packets that the firewall logs",
    "nfqueue": "packets that the firewall queues",
}


class Interface(NamedTuple):
    """`addresses`: IPv4 and IPv6 as text. `up`: administratively. Devices that are no interfaces are not up."""

    name: str
    description: str
    addresses: tuple[str, ...]
    up: bool
    loopback: bool


def list_interfaces() -> list[Interface]:
    """Everything that can be captured on, in libpcap's order; raise CaptureError where that cannot be told."""
    try:
        names = pcapy.findalldevs()
    except pcapy.PcapError as error:
        raise CaptureError(f"the interfaces cannot be listed: {error}") from None
    known = configured()
    found = []
    for name in dict.fromkeys(names):
        flags, addresses = known.get(name, (0, ()))
        loopback = bool(flags & _LOOPBACK)
        description = DEVICES.get(name, "")
        if not description:
            description = "USB bus" if name.startswith("usbmon") else "loopback" if loopback else ""
        found.append(Interface(name, description, tuple(addresses), bool(flags & _UP), loopback))
    return found


def names_up() -> list[str]:
    """Every network interface that is up; never `any`, which shows a routed packet twice."""
    return [interface.name for interface in list_interfaces() if interface.up]


def local_addresses() -> list[str]:
    """IPv4 and IPv6 addresses of this network namespace, as text."""
    return [address for _, addresses in configured().values() for address in addresses]


def unknown(name: str) -> CaptureError:
    """The error for a name that is no interface, with the names that come nearest."""
    names = [interface.name for interface in list_interfaces()]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}"
    return CaptureError(f"{name}: no such interface", hint=hint)


class _Address(ctypes.Structure):
    """struct ifaddrs, up to what is read here; the same on Linux and the BSDs."""


_Address._fields_ = [
    ("next", ctypes.POINTER(_Address)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.c_void_p),
]


def configured() -> dict[str, tuple[int, list[str]]]:
    """Flags and addresses by name, from getifaddrs(3): of the network namespace of the calling thread."""
    library = ctypes.CDLL(None, use_errno=True)
    library.freeifaddrs.argtypes = [ctypes.POINTER(_Address)]
    first = ctypes.POINTER(_Address)()
    if library.getifaddrs(ctypes.byref(first)):
        return {}
    found: dict[str, tuple[int, list[str]]] = {}
    try:
        for entry in _chain(first):
            _, addresses = found.setdefault(entry.name.decode(errors="replace"), (entry.flags, []))
            text = _text(entry.address) if entry.address else ""
            if text:
                addresses.append(text)
    finally:
        library.freeifaddrs(first)
    return found


def _chain(first: ctypes._Pointer[_Address]) -> Iterator[_Address]:
    while first:
        yield first.contents
        first = first.contents.next


def _text(address: int) -> str:
    """A struct sockaddr as text; "" for other families than IP."""
    start = ctypes.string_at(address, 2)
    # The BSDs put a length before the family, which is one byte there.
    family = int.from_bytes(start, sys.byteorder) if sys.platform == "linux" else start[1]
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, ctypes.string_at(address + 4, 4))
    if family == socket.AF_INET6:
        return socket.inet_ntop(socket.AF_INET6, ctypes.string_at(address + 8, 16))
    return ""

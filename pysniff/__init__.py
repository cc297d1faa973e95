"""PySniff: packets become API calls. The public names, loaded when they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pysniff.dissector import Dissector as Dissector
    from pysniff.entries import Entries as Entries
    from pysniff.entry import Endpoint as Endpoint
    from pysniff.entry import Entry as Entry
    from pysniff.errors import PysniffError as PysniffError
    from pysniff.kfl.filter import Filter as Filter
    from pysniff.kfl.variables import compile as compile
    from pysniff.message import Fault as Fault
    from pysniff.names import Names as Names
    from pysniff.packet import Packet as Packet
    from pysniff.reading import read as read
    from pysniff.reading import sniff as sniff
    from pysniff.services import ServiceMap as ServiceMap
    from pysniff.sniffer import Sniffer as Sniffer
    from pysniff.store import Store as Store

_HOME = {
    "Dissector": "dissector",
    "Endpoint": "entry",
    "Entries": "entries",
    "Entry": "entry",
    "Fault": "message",
    "Filter": "kfl.filter",
    "Names": "names",
    "Packet": "packet",
    "PysniffError": "errors",
    "ServiceMap": "services",
    "Sniffer": "sniffer",
    "Store": "store",
    "compile": "kfl.variables",
    "read": "reading",
    "sniff": "reading",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'pysniff' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"pysniff.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

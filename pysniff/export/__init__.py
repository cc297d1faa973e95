"""The formats that calls are exported in: ours, then plugins from the entry-point group pysniff.exporters.

`-o FORMAT FILE` looks a format up by its name here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points

from pysniff.export.calls_pcapng import CallsPcapng
from pysniff.export.curl import Curl
from pysniff.export.exporter import Exporter as Exporter
from pysniff.export.har import Har

BUILT_IN: tuple[type[Exporter], ...] = (Har, Curl, CallsPcapng)
GROUP = "pysniff.exporters"


@cache
def known() -> Mapping[str, type[Exporter]]:
    """By name. Our names are taken first; a plugin that does not load is left out with a warning."""
    formats: dict[str, type[Exporter]] = {}
    for one in (*BUILT_IN, *_plugins()):
        formats.setdefault(one.format, one)
    return formats


def _plugins() -> Iterator[type[Exporter]]:
    for point in entry_points(group=GROUP):
        try:
            loaded = point.load()
            if not issubclass(loaded, Exporter):
                raise TypeError(f"{loaded!r} is no Exporter")
            if not isinstance(getattr(loaded, "format", None), str):
                raise TypeError(f"{loaded!r} has no format")
        except Exception as problem:
            import warnings

            warnings.warn(f"exporter {point.name} ({point.value}): {problem}", RuntimeWarning, stacklevel=2)
        else:
            yield loaded

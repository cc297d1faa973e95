"""Where to capture: the network namespaces and interfaces that somebody wants, as far as they are there now."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from pysniff.capture import namespaces
from pysniff.capture.interfaces import DEVICES
from pysniff.capture.links import Links
from pysniff.capture.namespaces import ALL, Found, Identity, Namespace
from pysniff.errors import CaptureError, PrivilegeError

T = TypeVar("T")
# This process' own namespace, where no other is asked for.
_HERE = Found((0, 0), "", "")


class Wanted(NamedTuple):
    """`names`: of interfaces, none for all. `netns`: as --netns says them, none for the own namespace."""

    names: tuple[str, ...]
    netns: tuple[str, ...]

    @classmethod
    def of(cls, interfaces: Iterable[str], netns: Iterable[str]) -> Wanted:
        names = tuple(dict.fromkeys(interfaces))
        return cls(() if "any" in names else names, tuple(dict.fromkeys(netns)))

    @property
    def everything(self) -> bool:
        return not self.names


class Target(NamedTuple):
    """An interface that is wanted. `number`: the kernel's, 0 of what is no network interface."""

    place: Identity
    name: str
    number: int
    up: bool
    loopback: bool
    shown: str


class _Place:
    def __init__(self, namespace: Namespace, links: Links) -> None:
        self.namespace = namespace
        self.links = links

    def close(self) -> None:
        self.links.close()
        self.namespace.close()


class Places:
    """choose(), then look() whenever changed() says so, or a second is over and `comes_and_goes`.

    `wait`: what is wanted and not there is no error. What a person should know goes to `note`. The sockets that tell of
    changes are registered with `poller`.
    """

    def __init__(self, poller: select.poll, note: Callable[[str], None], *, wait: bool) -> None:
        self.wanted = Wanted((), ())
        self.missing: list[str] = []  # namespaces
        self._poller = poller
        self._note = note
        self._wait = wait
        self._places: dict[Identity, _Place] = {}
        self._refused: set[Identity] = set()

    @property
    def comes_and_goes(self) -> bool:
        """Whether there may be other namespaces without that anybody says so."""
        return bool(self.wanted.netns)

    def choose(self, wanted: Wanted) -> None:
        """From now on; raise CaptureError or PrivilegeError, and go on as before."""
        before, self.wanted = self.wanted, wanted
        try:
            self._refresh(self._found(strict=True), strict=True)
        except CaptureError:
            self.wanted = before
            raise

    def changed(self, ready: Sequence[int]) -> bool:
        """Whether anything changed, where these file descriptors are readable."""
        found = [
            place.links.changed()  # of all of them: each has something to read
            for place in self._places.values()
            if place.links.fd < 0 or place.links.fd in ready
        ]
        return any(found)

    def look(self) -> list[Target]:
        """What is there now of what is wanted; raise CaptureError where that cannot be told."""
        if self.comes_and_goes:
            self._refresh(self._found(strict=False), strict=False)
        found: list[Target] = []
        for identity, place in self._places.items():
            links = place.links.list()
            names = self.wanted.names or tuple(links)
            for name in names:
                if name in links:
                    number, up, loopback = links[name]
                elif len(self._places) == 1 and (not self._wait or _is_device(name)):
                    number, up, loopback = 0, True, False
                else:
                    continue
                found.append(Target(identity, name, number, up, loopback, place.namespace.shown(name)))
        return found

    def run(self, place: Identity, call: Callable[[], T]) -> T:
        """What `call` returns in a namespace, or raises there; raise CaptureError where it is gone."""
        if place not in self._places:
            raise CaptureError("the network namespace is gone")
        return self._places[place].namespace.run(call)

    def close(self) -> None:
        self._refresh({}, strict=False)

    def _found(self, *, strict: bool) -> dict[Identity, Found]:
        if not self.wanted.netns:
            return {_HERE.identity: _HERE}
        found: dict[Identity, Found] = {}
        missing: list[str] = []
        for name in self.wanted.netns:
            if name == ALL:
                every: Sequence[Found] = list(namespaces.find_all())
            else:
                try:
                    every = [namespaces.find(name)]
                except PrivilegeError:
                    if strict:
                        raise
                    missing.append(name)
                    continue
                except CaptureError:
                    if strict and not self._wait:
                        raise
                    missing.append(name)
                    continue
            for one in every:
                found.setdefault(one.identity, one)
        if strict and ALL in self.wanted.netns and not found:
            raise CaptureError("this system has no network namespaces", hint="leave --netns out")
        for name in missing:
            if name not in self.missing:
                self._note(f"network namespace {name}: not there; waiting for it")
        self.missing = missing
        return found

    def _refresh(self, found: dict[Identity, Found], *, strict: bool) -> None:
        for identity in [one for one in self._places if one not in found]:
            place = self._places.pop(identity)
            if place.links.fd >= 0:
                self._poller.unregister(place.links.fd)
            place.close()
        self._refused &= found.keys()
        for identity, one in found.items():
            if identity in self._places or identity in self._refused:
                continue
            try:
                self._enter(one)
            except CaptureError as error:
                # Among all namespaces one that goes just now is not worth failing for.
                if strict and (isinstance(error, PrivilegeError) or (ALL not in self.wanted.netns and not self._wait)):
                    raise
                self._refused.add(identity)
                self._note(str(error))

    def _enter(self, found: Found) -> None:
        namespace = Namespace() if found is _HERE else namespaces.enter(found)
        try:
            links = namespace.run(Links)
        except CaptureError:
            namespace.close()
            raise
        self._places[found.identity] = _Place(namespace, links)
        if links.fd >= 0:
            self._poller.register(links.fd, select.POLLIN)


def _is_device(name: str) -> bool:
    return name.split(":", 1)[0] in DEVICES or name.startswith("usbmon")

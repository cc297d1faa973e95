"""The capture filter in force on all interfaces, and what of the cluster's own traffic it leaves out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Protocol, TypeVar

from pysniff.capture import bpf as offline
from pysniff.capture.exclusion import MOST, Endpoint, addresses_of, without
from pysniff.capture.handle import Handle
from pysniff.capture.interfaces import local_addresses
from pysniff.capture.kernel_filter import Program
from pysniff.capture.namespaces import Identity
from pysniff.errors import CaptureError, FilterError

T = TypeVar("T")
_ETHERNET = 1


class Run(Protocol):
    """Places.run()"""

    def __call__(self, place: Identity, call: Callable[[], Program], /) -> Program: ...


class Filtering:
    """`bpf`, `endpoints`: as given. What a person should know goes to `note`."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self.bpf = ""
        self.endpoints: tuple[Endpoint, ...] = ()
        self._expanded: list[Endpoint] = []
        self._programs: dict[int, Program] = {}  # by link type
        self._note = note

    @property
    def excluded(self) -> list[str]:
        return [f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address, port in self._expanded]

    def program(self, handle: Handle, run: Callable[[Callable[[], Program]], Program]) -> Program:
        """For one handle; raise FilterError where the filter is none for its link type."""
        found = self._programs.get(handle.dlt)
        if found is None:
            found = self._programs[handle.dlt] = run(lambda: self._made(handle, self.bpf, self._expanded))
        return found

    def change(
        self,
        bpf: str,
        endpoints: tuple[Endpoint, ...],
        handles: Sequence[tuple[Handle, Identity]],
        running: Sequence[Handle],
        run: Run,
        *,
        lenient: bool,
    ) -> None:
        """Have this filter in force on all that are running, or raise FilterError or CaptureError and change nothing.

        `lenient`: where it makes sense for one link type, the others go without packets.
        """
        expanded = self._chosen(endpoints)
        programs: dict[int, Program] = {}
        problems: dict[int, FilterError] = {}
        for handle, place in handles:
            if handle.dlt in programs or handle.dlt in problems:
                continue
            try:
                programs[handle.dlt] = run(place, lambda handle=handle: self._made(handle, bpf, expanded))  # type: ignore[misc]
            except FilterError as error:
                if not lenient:
                    raise
                problems[handle.dlt] = error
        if problems and not programs:
            raise next(iter(problems.values()))
        if not handles and bpf.strip():
            offline.compile(bpf, _ETHERNET)
        self._install(bpf, programs, running)
        self.bpf, self.endpoints, self._expanded, self._programs = bpf, endpoints, expanded, programs

    def refresh(self, change: Callable[[str, tuple[Endpoint, ...]], None]) -> None:
        """Call `change` where the machine's own addresses are others than they were."""
        if not any(_is_unspecified(address) for address, _ in self.endpoints):
            return
        if addresses_of(self.endpoints, local_addresses)[:MOST] != self._expanded:
            change(self.bpf, self.endpoints)

    def _install(self, bpf: str, programs: dict[int, Program], running: Sequence[Handle]) -> None:
        done: list[Handle] = []
        try:
            for handle in running:
                if handle.dlt in programs:
                    done.append(handle)
                    handle.install(bpf, programs[handle.dlt])
                else:
                    handle.reject()
                    self._note(f"{handle.shown}: the capture filter makes no sense here, and lets nothing in")
        except (CaptureError, FilterError):
            for handle in done:
                if handle.dlt in self._programs:
                    handle.install(self.bpf, self._programs[handle.dlt])
                else:
                    handle.reject()
            raise

    def _chosen(self, endpoints: tuple[Endpoint, ...]) -> list[Endpoint]:
        expanded = addresses_of(endpoints, local_addresses)
        if len(expanded) > MOST:
            self._note(f"{len(expanded)} addresses of the cluster's own: the traffic of {MOST} is left out")
        return expanded[:MOST]

    def _made(self, handle: Handle, bpf: str, expanded: list[Endpoint]) -> Program:
        program = handle.program(bpf)
        if not expanded:
            return program
        try:
            return handle.program(without(bpf, expanded))
        except FilterError:  # a link type without IP, or too long
            self._note(f"{handle.shown}: the cluster's own traffic cannot be left out")
            return program


def _is_unspecified(address: str) -> bool:
    try:
        return ip_address(address.split("%", 1)[0]).is_unspecified
    except ValueError:
        return False

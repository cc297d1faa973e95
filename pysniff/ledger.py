"""The account of one run. Everything received is somewhere; each sum is counted on its own.

No term is computed by subtracting others, so a counter that forgets something breaks an equation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

# Why a conversation is given up: of `ended`.
CROWDED = "too much held"


class Equation(NamedTuple):
    """`left` and `right` name counters whose sums are equal, at any moment."""

    meaning: str
    left: tuple[str, ...]
    right: tuple[str, ...]


EQUATIONS = (
    Equation(
        "every packet was decoded, or rejected for a reason",
        ("packets", "inner_packets"),
        ("filtered", "tcp_packets", "udp_packets", "not_ip", "other_ip", "malformed", "fragments"),
    ),
    Equation(
        "what the kernel counted was received or dropped", ("kernel_received",), ("live_packets", "kernel_dropped")
    ),
    Equation(
        "every TCP payload byte went on in order, was a repetition, was skipped, waits or was given up",
        ("tcp_bytes",),
        ("tcp_in_order", "duplicate_bytes", "skipped_bytes", "held_bytes", "discarded"),
    ),
    Equation(
        "every packet for the store was written, left out, dropped for a reason, or waits",
        ("store_packets",),
        ("store_written", "store_cut", "store_queue_full", "store_disk_full", "store_waiting"),
    ),
    Equation(
        "every UDP payload byte went on, was a copy, or was skipped",
        ("udp_bytes",),
        ("udp_delivered", "udp_duplicate_bytes", "udp_skipped_bytes"),
    ),
    Equation(
        "every byte of plain text that a process told went on, was told or read already, is of others, or waits",
        ("plain_bytes",),
        ("plain_delivered", "plain_duplicate_bytes", "plain_filtered", "plain_held_bytes"),
    ),
    Equation(
        "every byte that went on is in an entry, in a reason, or waits",
        ("tcp_in_order", "udp_delivered", "plain_delivered", "recalled_bytes"),
        ("entry_bytes", "overhead_bytes", "unrecognised_bytes", "undecoded", "pending_bytes", "waiting_bytes"),
    ),
    Equation("every gap was told to a conversation", ("gap_bytes",), ("gap_dissected", "gap_unrecognised")),
    Equation("every request was answered, was not, or waits", ("requests",), ("answered", "unanswered", "waiting")),
    Equation("every response answers a request, or none that was seen", ("responses",), ("answered", "unrequested")),
    Equation(
        "every closed entry is an exchange, half of one, a message alone or an unrecognised conversation",
        ("entries",),
        ("answered", "unanswered", "unrequested", "alone", "unrecognised"),
    ),
    Equation("every conversation is open or has ended", ("conversations",), ("conversations_open", "ended")),
    Equation(
        "every SYN remembered was followed by data, forgotten, or is still there",
        ("half_open",),
        ("half_open_used", "half_open_expired", "half_open_evicted", "half_open_waiting"),
    ),
)

_COUNTS = tuple(dict.fromkeys(name for equation in EQUATIONS for name in equation.left + equation.right))
# Counters by reason; their sums stand in the equations.
_BY_REASON = ("not_ip", "other_ip", "malformed", "discarded", "undecoded", "ended")
_REASONS = 100
# Told, but not part of a balance: they qualify a counter that is.
_NOTES = (
    "packet_bytes",
    "interface_dropped",
    "recorded_drops",
    "fragments_expired",
    "fragments_evicted",
    "conflicts",
    "open_entries",
    "dissector_errors",
    "snapped_bytes",
    "udp_copies",
    "copies_forgotten",
    "not_matching",
    "filter_errors",
    "store_evicted",
    "store_unread",
    "tables_missed",
    "names_missed",
    "pruned_packets",
    "resumed_blind",
    "names_forgotten",
    "bodies_cut",
    "conversations_inside",
    "plain_chunks",
)

_LOST = (
    "kernel_dropped", "interface_dropped", "recorded_drops", "fragments_expired", "fragments_evicted", "gap_bytes",
    "snapped_bytes", "malformed", "discarded", "undecoded", "dissector_errors",
    "store_queue_full", "store_disk_full", "store_unread",
)  # fmt: skip


class Ledger:
    """Counters as attributes: ints, or dicts of reason to int (see EQUATIONS and docs/ledger.md)."""

    packets: int
    packet_bytes: int
    inner_packets: int
    filtered: int
    tcp_packets: int
    udp_packets: int
    not_ip: dict[str, int]
    other_ip: dict[str, int]
    malformed: dict[str, int]
    fragments: int
    fragments_expired: int
    fragments_evicted: int
    kernel_received: int
    kernel_dropped: int
    interface_dropped: int
    recorded_drops: int
    live_packets: int
    tcp_bytes: int
    tcp_in_order: int
    duplicate_bytes: int
    skipped_bytes: int
    held_bytes: int
    discarded: dict[str, int]
    udp_bytes: int
    udp_delivered: int
    udp_duplicate_bytes: int
    udp_skipped_bytes: int
    udp_copies: int
    copies_forgotten: int
    entry_bytes: int
    overhead_bytes: int
    unrecognised_bytes: int
    undecoded: dict[str, int]
    pending_bytes: int
    waiting_bytes: int
    gap_bytes: int
    gap_dissected: int
    gap_unrecognised: int
    snapped_bytes: int
    conflicts: int
    requests: int
    responses: int
    alone: int
    answered: int
    unanswered: int
    unrequested: int
    waiting: int
    entries: int
    open_entries: int
    unrecognised: int
    conversations: int
    conversations_open: int
    ended: dict[str, int]
    half_open: int
    half_open_used: int
    half_open_expired: int
    half_open_evicted: int
    half_open_waiting: int
    dissector_errors: int
    store_packets: int
    store_written: int
    store_cut: int
    store_queue_full: int
    store_disk_full: int
    store_waiting: int
    store_evicted: int
    store_unread: int
    tables_missed: int
    names_missed: int
    pruned_packets: int
    recalled_bytes: int
    resumed_blind: int
    not_matching: int
    filter_errors: int
    names_forgotten: int
    bodies_cut: int
    conversations_inside: int
    plain_chunks: int
    plain_bytes: int
    plain_delivered: int
    plain_duplicate_bytes: int
    plain_filtered: int
    plain_held_bytes: int

    __slots__ = _COUNTS + _NOTES

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, {} if name in _BY_REASON else 0)

    def total(self, name: str) -> int:
        """One counter; the sum of its reasons where it has them."""
        value = getattr(self, name)
        return sum(value.values()) if isinstance(value, Mapping) else value

    def imbalances(self) -> list[str]:
        """The equations that do not hold, in words; empty when every one does."""
        wrong = []
        for equation in EQUATIONS:
            left = sum(map(self.total, equation.left))
            right = sum(map(self.total, equation.right))
            if left != right:
                terms = " + ".join(f"{name} {self.total(name)}" for name in equation.right)
                wrong.append(f"{equation.meaning}: {' + '.join(equation.left)} = {left}, but {terms} = {right}")
        return wrong

    def lossless(self) -> bool:
        """Whether every byte was seen and understood: the question of --strict."""
        return not any(map(self.total, _LOST))

    def to_dict(self) -> dict[str, Any]:
        """Every counter by name, and `balanced`."""
        counters = {name: getattr(self, name) for name in self.__slots__}
        copied = {name: dict(value) if isinstance(value, dict) else value for name, value in counters.items()}
        return {**copied, "balanced": not self.imbalances()}

    def lines(self) -> list[str]:
        """The account for people: what came, where it went, what is missing."""
        if self.store_packets and not self.packets:
            return [self._store_line(), self._lost_line(), *self._imbalance_lines()]
        lines = [
            f"packets   {self.packets:,} received ({self.packet_bytes:,} bytes): "
            f"{self.tcp_packets:,} TCP, {self.udp_packets:,} UDP"
            + self._reasons("not IP", "not_ip")
            + self._reasons("other", "other_ip")
            + self._reasons("malformed", "malformed")
            + _unless_zero(self.fragments, "fragments")
            + _unless_zero(self.filtered, "filtered out"),
            f"bytes     {self.tcp_bytes + self.udp_bytes:,} of payload: {self.entry_bytes:,} in calls, "
            f"{self.unrecognised_bytes + self.skipped_bytes + self.udp_skipped_bytes:,} in conversations not recognised"
            + _unless_zero(self.overhead_bytes, "of the protocols' own")
            + _unless_zero(self.duplicate_bytes + self.udp_duplicate_bytes, "repeated")
            + self._reasons("undecoded", "undecoded")
            + self._reasons("discarded", "discarded")
            + _unless_zero(self.held_bytes + self.pending_bytes + self.waiting_bytes, "pending"),
            f"calls     {self.entries:,} entries: {self.answered:,} answered, {self.unanswered:,} unanswered, "
            f"{self.unrequested:,} responses without request, {self.alone:,} alone, "
            f"{self.unrecognised:,} not recognised"
            + _unless_zero(self.bodies_cut, "with less kept, for all were too much")
            + _unless_zero(self.ended.get(CROWDED, 0), "conversations given up, for all held too much"),
        ]
        if self.plain_chunks:
            lines.append(
                f"plain     {self.plain_bytes:,} bytes read in processes: {self.plain_delivered:,} went on"
                + _unless_zero(self.plain_duplicate_bytes, "read already")
                + _unless_zero(self.plain_filtered, "of connections that are not captured here")
                + _unless_zero(self.plain_held_bytes, "waiting")
            )
        if self.not_matching or self.filter_errors:
            failed = _unless_zero(self.filter_errors, "of them because the filter failed on them")
            lines.append(f"filter    {self.not_matching:,} entries did not match{failed}")
        if self.store_packets:
            lines.append(self._store_line())
        if self.pruned_packets:
            lines.append(f"pruned    {self.pruned_packets:,} packets that the index ruled out were not read")
        return [*lines, self._lost_line(), *self._imbalance_lines()]

    def _imbalance_lines(self) -> list[str]:
        return [f"IMBALANCE {line}" for line in self.imbalances()]

    def _store_line(self) -> str:
        return (
            f"store     {self.store_written:,} of {self.store_packets:,} packets written"
            + _unless_zero(self.store_cut, "left out, of conversations that nobody recognises")
            + _unless_zero(self.store_waiting, "waiting")
            + _unless_zero(self.store_evicted, "dropped since for newer ones")
        )

    def _lost_line(self) -> str:
        lost = [
            f"{self.total(name):,} {words}"
            for name, words in (
                ("kernel_dropped", "packets dropped by the kernel"),
                ("interface_dropped", "by the interface"),
                ("recorded_drops", "when the file was recorded"),
                ("gap_bytes", "bytes missing in streams"),
                ("snapped_bytes", "bytes cut by the snapshot length"),
                ("fragments_expired", "fragments that never became whole"),
                ("fragments_evicted", "fragments evicted"),
                ("half_open_evicted", "half-open connections forgotten"),
                ("dissector_errors", "dissector failures"),
                ("store_queue_full", "packets that the disk was too slow for"),
                ("store_disk_full", "packets that the disk had no room for"),
                ("store_unread", "packets of the store that could not be read"),
            )
            if self.total(name)
        ]
        return "lost      " + (", ".join(lost) if lost else "nothing")

    def _reasons(self, words: str, name: str) -> str:
        reasons: dict[str, int] = getattr(self, name)
        if not reasons:
            return ""
        most = sorted(reasons.items(), key=lambda item: -item[1])[:4]
        return f", {sum(reasons.values()):,} {words} (" + ", ".join(f"{key} {value:,}" for key, value in most) + ")"


def _unless_zero(count: int, words: str) -> str:
    return f", {count:,} {words}" if count else ""


def count(reasons: dict[str, int], reason: str, amount: int = 1) -> None:
    """Add to a counter by reason; a dissector that makes up ever new reasons fills "other"."""
    if reason not in reasons and len(reasons) >= _REASONS:
        reason = "other"
    reasons[reason] = reasons.get(reason, 0) + amount

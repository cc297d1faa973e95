"""Timestamps and durations as text, and their parts in any time zone."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from pysniff.kfl.arithmetic import SECOND, checked_duration, checked_timestamp
from pysniff.kfl.limits import Steps
from pysniff.kfl.types import DURATION, STRING, TIMESTAMP
from pysniff.kfl.values import Duration, EvaluationError, Timestamp, brief, kind, no_overload

# RFC 3339, section 5.6
_TIMESTAMP = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
# As Go writes them: 1h30m, -1.5s, 10ms
_UNITS = {"h": 3600 * SECOND, "m": 60 * SECOND, "s": SECOND, "ms": 1_000_000, "us": 1000, "µs": 1000, "ns": 1}
_PART = re.compile(r"([0-9]{0,18})(?:\.([0-9]{0,18}))?(ms|us|µs|ns|h|m|s)")
_DURATION_LENGTH = 100
_OFFSET = re.compile(r"([+-]?)([0-9]{1,2}):([0-9]{2})")
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,30}(?:/[A-Za-z0-9_+-]{1,30}){0,2}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UTC = timedelta(0)


def parse_timestamp(text: str) -> Timestamp:
    """Of RFC 3339; raise EvaluationError."""
    match = _TIMESTAMP.fullmatch(text) if len(text) < 64 else None
    if match is None:
        raise EvaluationError(f"{brief(text)} is no timestamp")
    *date, fraction, sign, hours, minutes = match.groups()
    try:
        year, month, day, hour, minute, second = map(int, date)
        leap = second == 60
        since = datetime(year, month, day, hour, minute, second - leap, tzinfo=UTC) - _EPOCH
    except ValueError:
        raise EvaluationError(f"{brief(text)} is no timestamp") from None
    seconds = since.days * 86_400 + since.seconds + leap
    if sign:
        if int(hours) > 23 or int(minutes) > 59:
            raise EvaluationError(f"{brief(text)} is no timestamp")
        offset = int(hours) * 3600 + int(minutes) * 60
        seconds += offset if sign == "-" else -offset
    return checked_timestamp(seconds * SECOND + int((fraction or "").ljust(9, "0")[:9]))


def parse_duration(text: str) -> Duration:
    """Raise EvaluationError where it is none."""
    body = text[1:] if text[:1] in ("-", "+") else text
    total = at = 0
    if body != "0":
        while at < len(body) or not body:
            match = _PART.match(body, at) if len(body) < _DURATION_LENGTH else None
            if match is None or not (match[1] or match[2]):
                raise EvaluationError(f"{brief(text)} is no duration")
            unit = _UNITS[match[3]]
            total += int(match[1] or 0) * unit
            total += int(match[2]) * unit // 10 ** len(match[2]) if match[2] else 0
            at = match.end()
    return checked_duration(-total if text[:1] == "-" else total)


def write_timestamp(time: int) -> str:
    """RFC 3339 in UTC, with none, 3, 6 or 9 digits, as protobuf's JSON has it."""
    date, fraction = _date(time, _UTC)
    return f"{date.isoformat()[:19]}{_fraction(fraction)}Z"


def write_duration(time: int) -> str:
    """Seconds, with none, 3, 6 or 9 digits."""
    seconds, fraction = divmod(abs(time), SECOND)
    return f"{'-' if time < 0 else ''}{seconds}{_fraction(fraction)}s"


def _fraction(nanoseconds: int) -> str:
    text = f".{nanoseconds:09d}" if nanoseconds else ""
    while text.endswith("000"):
        text = text[:-3]
    return text


def _date(time: int, zone: ZoneInfo | timedelta) -> tuple[datetime, int]:
    """The date there, and nanoseconds of its second."""
    seconds, fraction = divmod(time, SECOND)
    try:
        date = _EPOCH + timedelta(seconds=seconds)
        return (date.astimezone(zone) if isinstance(zone, ZoneInfo) else date + zone), fraction
    except OverflowError:
        raise EvaluationError("timestamp out of range") from None


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo | timedelta | None:
    """`Europe/Berlin` or `+02:00`; None where there is no such. The zones are the system's."""
    match = _OFFSET.fullmatch(name)
    if match is not None:
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return -offset if match[1] == "-" else offset
    if not name:
        return _UTC
    if not _ZONE.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        return None


def _in_zone(time: int, name: object) -> tuple[datetime, int]:
    zone = _zone(name) if isinstance(name, str) and len(name) < 100 else None
    if zone is None:
        raise EvaluationError(f"{brief(name)} is no time zone")
    return _date(time, zone)


Of = Callable[[datetime, int], int]
OfDuration = Callable[[int], int]


def _part(function: str, of: Of, of_duration: OfDuration | None) -> Callable[..., object]:
    """The function that gives this part of a timestamp, or of a duration."""

    def part(steps: Steps, time: object, zone: object = None) -> int:
        known = kind(time)
        assert isinstance(time, int) or known not in (TIMESTAMP, DURATION)
        if known == TIMESTAMP and (zone is None or kind(zone) == STRING):
            return of(*(_date(time, _UTC) if zone is None else _in_zone(time, zone)))  # type: ignore[arg-type]
        if known == DURATION and of_duration is not None and zone is None:
            whole = of_duration(abs(time))  # type: ignore[arg-type]
            return whole if time >= 0 else -whole  # type: ignore[operator]
        raise no_overload(function, time)

    return part


_OF: dict[str, tuple[Of, OfDuration | None]] = {
    "getFullYear": (lambda date, _: date.year, None),
    "getMonth": (lambda date, _: date.month - 1, None),
    "getDate": (lambda date, _: date.day, None),
    "getDayOfMonth": (lambda date, _: date.day - 1, None),
    "getDayOfWeek": (lambda date, _: date.isoweekday() % 7, None),
    "getDayOfYear": (lambda date, _: date.timetuple().tm_yday - 1, None),
    "getHours": (lambda date, _: date.hour, lambda time: time // (3600 * SECOND)),
    "getMinutes": (lambda date, _: date.minute, lambda time: time // (60 * SECOND)),
    "getSeconds": (lambda date, _: date.second, lambda time: time // SECOND),
    "getMilliseconds": (lambda _, fraction: fraction // 1_000_000, lambda time: time // 1_000_000 % 1000),
}
PARTS: dict[str, Callable[..., object]] = {name: _part(name, *of) for name, of in _OF.items()}

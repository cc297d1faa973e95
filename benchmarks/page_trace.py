"""What the browser's own trace says of frames: how many there were, and what scripts took in each.

Scripting is what DevTools calls so: scripts and the collection of their garbage, without the style, layout and paint
that they cause. Time is CPU time of the renderer's main thread (`tdur`): the machine may be busy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

CATEGORIES = ("devtools.timeline", "disabled-by-default-devtools.timeline.frame", "devtools.timeline.frame", "v8")
SCRIPTING = {
    "EvaluateScript", "EventDispatch", "FireAnimationFrame", "FireIdleCallback", "FunctionCall", "MajorGC", "MinorGC",
    "RunMicrotasks", "TimerFire", "V8.GCFinalizeMC", "V8.GCScavenger", "v8.callFunction", "v8.compile", "v8.run",
}  # fmt: skip
RENDERING = {
    "Commit", "HitTest", "Layerize", "Layout", "Paint", "ParseHTML", "PrePaint", "ScrollLayer", "UpdateLayer",
    "UpdateLayoutTree",
}  # fmt: skip
FRAME = "BeginMainThreadFrame"


class Frames(NamedTuple):
    """Of one stretch of time: `scripting`, `rendering`: milliseconds of CPU in each frame."""

    seconds: float
    scripting: list[float]
    rendering: list[float]

    @property
    def per_second(self) -> float:
        return len(self.scripting) / self.seconds


def frames(events: Iterable[Mapping[str, Any]]) -> Frames:
    """From the first frame to the last one, between which everything belongs to the frame that began before it."""
    events = list(events)
    begins = [one for one in events if one["name"] == FRAME]
    if len(begins) < 2:
        raise RuntimeError("the browser drew no frames")
    thread = begins[0]["pid"], begins[0]["tid"]
    begun = sorted(one["ts"] for one in begins)
    spans = [one for one in events if one["ph"] == "X" and (one["pid"], one["tid"]) == thread]
    spans.sort(key=lambda one: (one["ts"], -one.get("dur", 0)))
    taken = {kind: [0.0] * (len(begun) - 1) for kind in ("scripting", "rendering")}
    frame = -1
    inside: list[tuple[float, str]] = []  # where spans around this one end, and what they count as
    for span in spans:
        start, length, cpu = span["ts"], span.get("dur", 0), span.get("tdur", 0) / 1000
        while inside and start >= inside[-1][0]:
            inside.pop()
        outer = inside[-1][1] if inside else ""
        name = span["name"]
        kind = "scripting" if name in SCRIPTING else "rendering" if name in RENDERING else outer
        while frame + 1 < len(begun) and begun[frame + 1] <= start:
            frame += 1
        if kind != outer and 0 <= frame < len(begun) - 1:
            taken[kind][frame] += cpu
            if outer:
                taken[outer][frame] -= cpu
        inside.append((start + length, kind))
    return Frames((begun[-1] - begun[0]) / 1e6, taken["scripting"], taken["rendering"])

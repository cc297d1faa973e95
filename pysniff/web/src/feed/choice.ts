// The chosen call, and where the list is: what keys, rows and buttons do to them.
//
// Choosing a row stops following, for a list that runs away under what was chosen is of no use.
import { signal } from "@preact/signals";
import { call, compared } from "../address";
import { looksAt } from "./reception";
import { finished, following, intake, revision } from "./store";
import { shows, type View } from "./window";

/** The position at the top of the view, with a fraction; null at the end of the list. */
export const top = signal<number | null>(null);
/** The chosen call, and the last one while none is: where up and down go on. */
let last = "";

/** Where the view begins: a finished capture is read from its beginning, what goes on from its end (null). */
export function shownTop(): number | null {
  if (following.value) return null;
  return top.value ?? (finished.value ? intake.ring.first - 1 : null);
}

/** What is on screen, while the list is. */
let view: View | null = null;

export function sees(now: View | null): void {
  view = now;
}

export function follow(on: boolean): void {
  if (!on && following.value && view) top.value = shows(intake.ring.end - 1, null, view);
  following.value = on;
  if (on) top.value = null;
  protect();
}

export function scrolledTo(position: number | null): void {
  top.value = position;
  protect();
}

export function choose(id: string): void {
  call.value = id;
  last = id;
  reveal(id);
}

/** Compare the chosen call with that one; again: no more. */
export function compare(id: string): void {
  compared.value = compared.value === id || id === call.value ? "" : id;
}

/** Up and down by so many rows; to either end by an infinite number. */
export function move(by: number): void {
  const { ring } = intake;
  if (ring.count === 0) return;
  const at = ring.positionOf(call.value || last);
  const from = at ?? (by > 0 ? (view ? shownFirst(view) - 1 : ring.first - 1) : ring.end);
  const to = Math.max(ring.first, Math.min(ring.end - 1, from + by));
  const seen = ring.at(to);
  if (seen) choose(seen.summary.id);
}

/** Rows of a page, for PageUp and PageDown. */
export function page(): number {
  return view ? Math.max(1, Math.floor(view.height / view.row) - 1) : 10;
}

/** Bring a row into view, where it is kept. */
export function reveal(id: string): void {
  const position = intake.ring.positionOf(id);
  if (position === null || !view) {
    if (following.value) follow(false);
    return;
  }
  const { first, end } = intake.ring;
  top.value = shows(position, shownTop(), { ...view, first, end });
  following.value = false;
  protect();
  revision.value++;
}

/** Nothing is chosen any more; up and down go on from there. */
export function unchoose(): void {
  last = call.value || last;
  call.value = "";
}

function shownFirst(now: View): number {
  const at = shownTop();
  return at === null ? Math.max(now.first, now.end - Math.floor(now.height / now.row)) : Math.ceil(at);
}

function protect(): void {
  looksAt(following.value || top.value === null ? null : Math.floor(top.value));
}

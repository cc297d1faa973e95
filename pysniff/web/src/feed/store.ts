// What the page has received of calls, and what the hub said beside them. reception.ts fills it.
import { signal } from "@preact/signals";
import { Intake } from "./intake";
import type { Refused, Status } from "./messages";
import type { Seen } from "./ring";

export type { Seen } from "./ring";
export type Listener = (calls: readonly Seen[]) => void;

export const intake = new Intake();
const listeners = new Set<Listener>();

/** Be told of every call that comes, live or from history, once for each revision, a batch a frame; also while
 * paused. Ends with what is returned. */
export function listen(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function tell(calls: readonly Seen[]): void {
  for (const listener of listeners) {
    try {
      listener(calls);
    } catch (error) {
      reportError(error); // one that fails takes nothing from the others
    }
  }
}

/** Whether the hub is connected. */
export const connection = signal<"connecting" | "open" | "away">("connecting");
/** It is not, for it wants a token. */
export const signedOut = signal(false);
/** Calls that the hub dropped for this page, by its own count; since the question was asked. */
export const missed = signal(0);
/** Calls received since the question was asked, and those of them that are kept; a few times a second. */
export const received = signal(0);
export const held = signal(0);
/** Of those kept, the ones that wait while rows are held still. */
export const waiting = signal(0);
/** Calls that fell out, because there is a bound. */
export const evicted = signal(0);
/** Calls that come from now on, a second. */
export const rate = signal(0);
/** What the hub last said of each worker ("" is the hub), and why the question was refused. */
export const statuses = signal<ReadonlyMap<string, Status>>(new Map());
export const refused = signal<Refused | null>(null);
/** History is told as far as it was asked: the first page of it, or a finished capture. */
export const toldHistory = signal(false);
/** Of what is earlier than the rows: whether it can be had. "cut": a finished capture that has more than is kept. */
export type Earlier = "asking" | "more" | "none" | "full" | "cleared" | "cut";
export const earlier = signal<Earlier>("asking");
/** The capture is a finished file (or one that is being read), and is told from its beginning. */
export const finished = signal(false);
export const paused = signal(false);
/** Stick to the newest call. */
export const following = signal(true);
/** Counts up whenever rows may have changed. */
export const revision = signal(0);
/** Counts up whenever another question is asked, or rows were cleared; and when that was, in milliseconds since 1970. */
export const question = signal(0);
export const since = signal(Date.now());

/** Everything that is kept: what a listener that comes late has missed. */
export function* kept(): Generator<Seen> {
  for (const ring of [intake.ring, intake.waiting]) {
    for (let position = ring.first; position < ring.end; position++) {
      const seen = ring.at(position);
      if (seen) yield seen;
    }
  }
}

/** What is kept of a call by its id; null where it is not. */
export function known(id: string): Seen | null {
  for (const ring of [intake.ring, intake.waiting]) {
    const position = ring.positionOf(id);
    if (position !== null) return ring.at(position);
  }
  return null;
}

// What the page has received of calls, and what the hub said beside them.
import { signal } from "@preact/signals";
import type { Summary } from "../entry";
import type { Refused, Status } from "./messages";

/** A call as it came. `nodes` are those that saw it by then. */
export interface Seen {
  summary: Summary;
  nodes: readonly string[];
}

export type Listener = (calls: readonly Seen[]) => void;

const listeners = new Set<Listener>();

/** Be told of every call that comes, live or from history, once for each revision; `live` tells which. Ends with what is returned. */
export function listen(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Whether the hub is connected: "connecting", "open" or "away". */
export const connection = signal<"connecting" | "open" | "away">("connecting");
/** Calls that the hub dropped for this page, by its own count; since the question was asked. */
export const missed = signal(0);
/** Calls received since the question was asked, and those of them that are kept. */
export const received = signal(0);
export const held = signal(0);
/** What the hub last said of each worker ("" is the hub), and why the question was refused. */
export const statuses = signal<ReadonlyMap<string, Status>>(new Map());
export const refused = signal<Refused | null>(null);
/** History is told as far as it was asked. */
export const toldHistory = signal(false);
export const paused = signal(false);

/** What is kept of a call by its id; null where it is not. */
export function known(_id: string): Seen | null {
  return null;
}

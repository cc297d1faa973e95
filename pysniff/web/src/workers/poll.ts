// Asks the hub what the workers say of themselves: every two seconds while somebody looks, seldom while nobody does.
//
// One answer at a time; the next is asked for when it is here. The hub asks each worker once a second at most.
import { signal } from "@preact/signals";
import { ask, Problem } from "../api";
import { type Pace, paces } from "./pace";
import type { Told } from "./told";

const SEEN = 2_000; // milliseconds
const HIDDEN = 30_000;

/** The last answer; null before the first. */
export const told = signal<Told | null>(null);
/** Why there is no newer one. */
export const trouble = signal<Problem | null>(null);
/** Packets a second of each worker, by node. */
export const pace = signal<ReadonlyMap<string, Pace>>(new Map());

/** Begin to ask; ends with what is returned. */
export function begin(): () => void {
  let timer = 0;
  let ended = false;
  const again = () => {
    timer = window.setTimeout(next, document.hidden ? HIDDEN : SEEN);
  };
  const next = () => {
    timer = 0;
    refresh().finally(() => {
      if (!ended) again();
    });
  };
  const turned = () => {
    if (document.hidden || !timer) return;
    clearTimeout(timer);
    next();
  };
  document.addEventListener("visibilitychange", turned);
  next();
  return () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", turned);
  };
}

/** Ask now, as after a change. */
export async function refresh(): Promise<void> {
  try {
    const answer = await ask<Told>("/api/workers");
    pace.value = paces(told.value, answer, pace.value);
    told.value = answer;
    trouble.value = null;
  } catch (error) {
    trouble.value = error instanceof Problem ? error : new Problem(0, "internal", String(error), "");
  }
}

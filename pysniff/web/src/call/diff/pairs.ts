// Header fields, parameters and cookies of two messages by name: those that one lacks, and those that say otherwise.
import type { Pair } from "../../entry";

export interface Difference {
  name: string;
  /** Null: it is not there. */
  before: string | null;
  after: string | null;
}

/** Every name, in the order of the first, then what only the second has; several values of one name are one. */
export function pairs(before: readonly Pair[], after: readonly Pair[], lower = true): Difference[] {
  const [old, now] = [values(before, lower), values(after, lower)];
  return [...new Set([...old.keys(), ...now.keys()])].map((name) => ({
    name,
    before: old.get(name) ?? null,
    after: now.get(name) ?? null,
  }));
}

function values(list: readonly Pair[], lower: boolean): Map<string, string> {
  const found = new Map<string, string>();
  for (const [name, value] of list) {
    const key = lower ? name.toLowerCase() : name;
    const had = found.get(key);
    found.set(key, had === undefined ? value : `${had}, ${value}`);
  }
  return found;
}

// The filters that were asked, the latest first: at most MOST, each once.
import { signal } from "@preact/signals";
import { kept } from "../shell/kept";

const MOST = 100;
const LONGEST = 8192; // characters, as the hub allows

const stored = kept<unknown>("history", []);
export const past = signal<readonly string[]>(texts(stored.read()));

export function remember(filter: string): void {
  past.value = latest(past.value, filter);
  stored.write(past.value);
}

export function forget(): void {
  past.value = [];
  stored.write([]);
}

export function latest(before: readonly string[], filter: string): readonly string[] {
  const text = filter.trim();
  if (text === "" || text.length > LONGEST) return before;
  return [text, ...before.filter((other) => other !== text)].slice(0, MOST);
}

/** Where the arrow keys are: 0 is the latest, -1 what was there before they were pressed. */
export function step(place: number, up: boolean, length: number): number {
  return Math.max(-1, Math.min(length - 1, place + (up ? 1 : -1)));
}

/** What can be used of what the browser had kept, whoever wrote it. */
export function texts(value: unknown): readonly string[] {
  if (!Array.isArray(value)) return [];
  return value.filter((text): text is string => typeof text === "string" && text.length <= LONGEST).slice(0, MOST);
}

// Filters that somebody gave a name: at most MOST, by name, kept in this browser.
import { signal } from "@preact/signals";
import { kept } from "../shell/kept";

export interface Saved {
  name: string;
  filter: string;
}

const MOST = 100;
const LONGEST_NAME = 80;

const stored = kept<unknown>("saved", []);
export const saved = signal<readonly Saved[]>(read(stored.read()));

function keep(all: readonly Saved[]): void {
  saved.value = all;
  stored.write(all);
}

/** One name is one filter: a name that is there already gets this filter. Says why it cannot, or "". */
export function save(name: string, filter: string): string {
  const made = named(saved.value, name, filter);
  if (typeof made === "string") return made;
  keep(made);
  return "";
}

export function named(all: readonly Saved[], name: string, filter: string): readonly Saved[] | string {
  const short = name.trim().slice(0, LONGEST_NAME);
  if (short === "") return "A saved filter needs a name.";
  const rest = all.filter((one) => one.name !== short);
  if (rest.length >= MOST) return `${MOST} filters are saved already; delete one first.`;
  return [...rest, { name: short, filter }].sort((one, other) => one.name.localeCompare(other.name));
}

/** Says why it cannot, or "". */
export function rename(before: string, name: string): string {
  const one = saved.value.find((other) => other.name === before);
  if (!one || name.trim() === before) return "";
  if (saved.value.some((other) => other.name === name.trim()))
    return `There is a filter called ${name.trim()} already.`;
  const made = named(
    saved.value.filter((other) => other !== one),
    name,
    one.filter,
  );
  if (typeof made === "string") return made;
  keep(made);
  return "";
}

export function remove(name: string): void {
  keep(saved.value.filter((one) => one.name !== name));
}

/** What can be used of what the browser had kept, whoever wrote it. */
export function read(value: unknown): readonly Saved[] {
  if (!Array.isArray(value)) return [];
  const usable = value.filter(
    (one): one is Saved => typeof one?.name === "string" && typeof one?.filter === "string" && one.name !== "",
  );
  return usable.slice(0, MOST).map(({ name, filter }) => ({ name, filter }));
}

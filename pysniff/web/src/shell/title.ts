// What the browser's tab says: the question and how many calls answer it, so that two tabs can be told apart.
import { filter } from "../address";
import { held } from "../feed/store";
import { count } from "../format";

const LONGEST = 60; // characters of a filter

export function title(): string {
  const asked = filter.value.length > LONGEST ? `${filter.value.slice(0, LONGEST)}…` : filter.value;
  return `${count(held.value)} ${asked || "calls"} · PySniff`;
}

// What the hub says of the filter that is being typed: one question at a time, the last one, after a short rest.
import { signal } from "@preact/signals";
import { address, ask, Problem } from "../api";

/** What it means (docs/api.md): what an index decides, and what only dissection knows. */
export interface Meaning {
  filter: string;
  index: { variables: string[]; condition: string | null; start: string | null; end: string | null };
  dissected: string[];
}

/** `problem`: why it is no filter, or could not be checked. */
export interface Checked {
  text: string;
  meaning: Meaning | null;
  problem: Problem | null;
}

const REST = 150; // ms without a key: at most seven questions a second, of a hundred that the hub takes

export const checked = signal<Checked>({ text: "", meaning: null, problem: null });

let timer: ReturnType<typeof setTimeout> | undefined;
let running = new AbortController();

/** Ask when typing rests. */
export function checkSoon(text: string): void {
  clearTimeout(timer);
  running.abort();
  if (text.trim() === "") checked.value = { text, meaning: null, problem: null };
  else timer = setTimeout(() => void check(text), REST);
}

/** Ask now; null where another question came between. */
export async function check(text: string): Promise<Checked | null> {
  clearTimeout(timer);
  running.abort();
  if (checked.value.text === text && checked.value.meaning) return checked.value;
  const mine = new AbortController();
  running = mine;
  let found: Checked;
  try {
    // A question without `q` would be one for the language.
    const meaning =
      text.trim() === "" ? null : await ask<Meaning>(address("/api/filter", { q: text }), { signal: mine.signal });
    found = { text, meaning, problem: null };
  } catch (error) {
    if (mine.signal.aborted) return null;
    if (!(error instanceof Problem)) throw error;
    found = { text, meaning: null, problem: error };
  }
  if (mine.signal.aborted) return null;
  checked.value = found;
  return found;
}

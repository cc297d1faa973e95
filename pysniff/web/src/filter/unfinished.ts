// Whether an error is only that somebody is still typing.
import { tokens } from "./tokens";

/** The hub's complaint is at the last word before the cursor, or behind it, and nothing of note follows. */
export function unfinished(text: string, cursor: number, at: number): boolean {
  if (/[^\s)\]}"']/.test(text.slice(cursor))) return false;
  const before = tokens(text.slice(0, cursor)).filter(({ kind }) => kind !== "space");
  const last = before[before.length - 1];
  if (!last) return true;
  // `path.start` is refused at its beginning: a chain of names is one word. A string without an end is refused there.
  let start = before.length - 1;
  while (start > 0 && (before[start]?.text === "." || before[start - 1]?.text === ".")) start--;
  return at >= (before[start] ?? last).at;
}

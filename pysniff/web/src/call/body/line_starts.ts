// Where each row of a text begins: rows have so many columns at most, so a line of a megabyte is many rows, and no
// browser has to lay it out.

export const ROWS = 400_000;
const TAB = 4;

export interface Starts {
  /** The place in the text where row n begins, and one more: the end. */
  at: number[];
  /** The number of the line that row n begins, from 1; 0 where it goes on. */
  line: number[];
  /** How many lines there are. */
  lines: number;
  /** Lines beyond the bound are not there. */
  cut: boolean;
}

export function starts(text: string, columns: number): Starts {
  const at: number[] = [];
  const line: number[] = [];
  let start = 0;
  let number = 0;
  while (start <= text.length) {
    let end = text.indexOf("\n", start);
    if (end < 0) end = text.length;
    number++;
    let from = start;
    do {
      if (at.length === ROWS) return { at: [...at, from], line, lines: number, cut: true };
      line.push(from === start ? number : 0);
      at.push(from);
      from = within(text, from, end, columns);
    } while (from < end);
    start = end + 1;
  }
  at.push(text.length + 1);
  return { at, line, lines: number, cut: false };
}

/** The row's text without its line end. */
export function row(text: string, starts: Starts, place: number): string {
  const from = starts.at[place] ?? 0;
  const piece = text.slice(from, starts.at[place + 1] ?? text.length);
  return piece.endsWith("\r\n") ? piece.slice(0, -2) : piece.endsWith("\n") ? piece.slice(0, -1) : piece;
}

/** The row in which a place of the text is. */
export function rowOf(starts: Starts, place: number): number {
  let low = 0;
  let high = starts.line.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts.at[middle] ?? 0) <= place) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Where the row from `from` on ends. Wide signs take two columns, tabs go to the next stop. */
function within(text: string, from: number, end: number, columns: number): number {
  // Most lines are short: no column is counted where even tabs and wide signs leave room.
  if ((end - from) * TAB <= columns) return end;
  let column = 0;
  let at = from;
  while (at < end) {
    const code = text.codePointAt(at) ?? 0;
    column += code === 9 ? TAB - (column % TAB) : code < 0x1100 ? 1 : 2;
    if (column > columns && at > from) return at;
    at += code > 0xffff ? 2 : 1;
  }
  return end;
}

const MATCHES = 10_000;

/** Where words stand in a text, whatever their case: the first ten thousand. */
export function found(text: string, words: string): number[] {
  const places: number[] = [];
  if (!words) return places;
  // Lower case of a few letters is longer; those texts are looked through as they are.
  const lower = text.toLowerCase();
  const [where, wanted] = lower.length === text.length ? [lower, words.toLowerCase()] : [text, words];
  for (
    let at = where.indexOf(wanted);
    at >= 0 && places.length < MATCHES;
    at = where.indexOf(wanted, at + wanted.length)
  ) {
    places.push(at);
  }
  return places;
}

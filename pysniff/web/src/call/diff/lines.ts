// The lines that two texts do not share (Myers 1986), within bounds: what would take longer is shown as replaced.

export const LINES = 20_000;
const EDITS = 1_500;

export type Line = { kind: "same" | "removed" | "added"; text: string };

export interface Compared {
  lines: Line[];
  /** In words what was not looked at; "" where everything was. */
  bound: string;
}

export function lines(before: readonly string[], after: readonly string[]): Compared {
  let bound = "";
  if (before.length > LINES || after.length > LINES) {
    bound = `only the first ${LINES.toLocaleString("en")} lines are compared`;
    before = before.slice(0, LINES);
    after = after.slice(0, LINES);
  }
  let head = 0;
  while (head < before.length && head < after.length && before[head] === after[head]) head++;
  let tail = 0;
  while (
    tail < Math.min(before.length, after.length) - head &&
    before[before.length - 1 - tail] === after[after.length - 1 - tail]
  ) {
    tail++;
  }
  const [old, now] = [before.slice(head, before.length - tail), after.slice(head, after.length - tail)];
  let middle = shortest(old, now);
  if (!middle) {
    bound ||= `more than ${EDITS.toLocaleString("en")} lines differ: shown as replaced`;
    middle = [...old.map((text) => line("removed", text)), ...now.map((text) => line("added", text))];
  }
  const same = (text: string) => line("same", text);
  return {
    lines: [...before.slice(0, head).map(same), ...middle, ...before.slice(before.length - tail).map(same)],
    bound,
  };
}

const line = (kind: Line["kind"], text: string): Line => ({ kind, text });

/** Null where it takes more edits than the bound. */
function shortest(before: readonly string[], after: readonly string[]): Line[] | null {
  const most = Math.min(before.length + after.length, EDITS);
  const middle = most + 1;
  const reach = new Int32Array(2 * most + 3);
  const trace: Int32Array[] = [];
  for (let edits = 0; edits <= most; edits++) {
    trace.push(reach.slice(middle - edits - 1, middle + edits + 2));
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      const down = diagonal === -edits || (diagonal !== edits && get(diagonal - 1) < get(diagonal + 1));
      let x = down ? get(diagonal + 1) : get(diagonal - 1) + 1;
      while (x < before.length && x - diagonal < after.length && before[x] === after[x - diagonal]) x++;
      reach[middle + diagonal] = x;
      if (x >= before.length && x - diagonal >= after.length) return walked(before, after, trace);
    }
  }
  return null;

  function get(diagonal: number): number {
    return reach[middle + diagonal] ?? 0;
  }
}

function walked(before: readonly string[], after: readonly string[], trace: readonly Int32Array[]): Line[] {
  const found: Line[] = [];
  let x = before.length;
  let y = after.length;
  for (let edits = trace.length - 1; edits >= 0; edits--) {
    const reach = trace[edits] as Int32Array;
    const get = (diagonal: number) => reach[edits + 1 + diagonal] ?? 0;
    const diagonal = x - y;
    const down = diagonal === -edits || (diagonal !== edits && get(diagonal - 1) < get(diagonal + 1));
    const fromX = edits ? (down ? get(diagonal + 1) : get(diagonal - 1)) : 0;
    const fromY = edits ? fromX - (down ? diagonal + 1 : diagonal - 1) : 0;
    const turn = edits ? (down ? fromX : fromX + 1) : 0;
    while (x > turn) {
      found.push(line("same", before[x - 1] ?? ""));
      x--;
      y--;
    }
    if (!edits) break;
    if (down) found.push(line("added", after[fromY] ?? ""));
    else found.push(line("removed", before[fromX] ?? ""));
    x = fromX;
    y = fromY;
  }
  return found.reverse();
}

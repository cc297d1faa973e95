// How many calls of each protocol came for the question that is asked; a call once, however often it is revised.
import { effect, signal } from "@preact/signals";
import { listen, question, type Seen } from "../feed/store";

const MOST = 40; // protocols: more come from nowhere but a plugin gone wild; they are counted together
const OPEN = 20_000; // calls that may come again
const OTHERS = "others";

const REST = 200; // ms: nobody reads faster

/** By protocol, told five times a second; those that came in this session stay, with 0. */
export const counts = signal<ReadonlyMap<string, number>>(new Map());

let now: ReadonlyMap<string, number> = new Map();
let open = new Set<string>();
let timer: ReturnType<typeof setTimeout> | undefined;

export function begin(): () => void {
  const ended = [
    listen((calls) => {
      now = counted(now, calls, open);
      timer ??= setTimeout(tell, REST);
    }),
    effect(() => {
      question.value;
      open = new Set();
      now = new Map([...now.keys()].map((name) => [name, 0]));
      tell();
    }),
  ];
  return () => {
    for (const end of ended) end();
  };
}

function tell(): void {
  clearTimeout(timer);
  timer = undefined;
  counts.value = now;
}

export function counted(before: ReadonlyMap<string, number>, calls: readonly Seen[], open: Set<string>) {
  const found = new Map(before);
  for (const { summary } of calls) {
    const again = open.delete(summary.id);
    if (summary.state === "open") {
      // Beyond the bound the oldest is forgotten, and counts again when it is revised.
      if (open.size >= OPEN) open.delete(open.values().next().value as string);
      open.add(summary.id);
    }
    if (again) continue;
    const name = found.has(summary.protocol) || found.size < MOST ? summary.protocol : OTHERS;
    found.set(name, (found.get(name) ?? 0) + 1);
  }
  return found;
}

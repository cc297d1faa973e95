// Calls as they come, so that each counts once: an open call that comes again takes the place of what it was.
//
// What is told of a call here is what docs/services.md counts; only bytes are those of bodies, for a summary has no others.
import type { Endpoint } from "../entry";
import type { Seen } from "../feed/store";

export type Kind = "answered" | "failed" | "unanswered" | "open";

/** What figures are made of. `second`: when it began, since 1970. `latency`: microseconds, where it was answered. */
export interface Call {
  second: number;
  src: Endpoint;
  dst: Endpoint;
  protocol: string;
  summary: string;
  kind: Kind;
  latency: number | null;
  bytes: number;
  nodes: readonly string[];
}

/** Takes calls in (`by` 1) and out again (-1). */
export type Counter = (call: Call, by: 1 | -1) => void;

const OPEN = 65_536; // open calls that may yet end: as many as a node remembers (pysniff/services/columns.py)

export class Arrivals {
  /** Calls that were counted, each once. */
  calls = 0;
  /** Open calls that were forgotten, since there were too many. */
  forgotten = 0;
  oldest = Number.POSITIVE_INFINITY;
  newest = Number.NEGATIVE_INFINITY;
  readonly #open = new Map<string, Call>();
  readonly #counters: readonly Counter[];

  constructor(...counters: Counter[]) {
    this.#counters = counters;
  }

  add(seen: Seen): void {
    const call = callOf(seen);
    const id = seen.summary.id;
    if (this.#open.size) {
      const before = this.#open.get(id);
      if (before) this.#take(id, before);
    }
    if (call.kind === "open") {
      this.#open.set(id, call);
      if (this.#open.size > OPEN) this.#forget();
    }
    this.calls += 1;
    if (call.second < this.oldest) this.oldest = call.second;
    if (call.second > this.newest) this.newest = call.second;
    for (const counter of this.#counters) counter(call, 1);
  }

  #take(id: string, call: Call): void {
    this.#open.delete(id);
    this.calls -= 1;
    for (const counter of this.#counters) counter(call, -1);
  }

  #forget(): void {
    const [id, call] = this.#open.entries().next().value as [string, Call];
    this.#take(id, call);
    this.forgotten += 1;
  }
}

export function callOf({ summary, nodes }: Seen): Call {
  const kind = kindOf(summary);
  return {
    second: secondOf(summary.timestamp),
    src: summary.src,
    dst: summary.dst,
    protocol: summary.protocol,
    summary: summary.summary,
    kind,
    latency: kind === "open" ? null : summary.elapsed_time,
    bytes: summary.request_size + summary.response_size,
    nodes,
  };
}

function kindOf({ state, ok, faults }: Seen["summary"]): Kind {
  if (state === "open") return "open";
  if (ok) return "answered";
  return faults.includes("unanswered") ? "unanswered" : "failed";
}

let minute = "";
let minuteBegan = 0;

/** Whole seconds since 1970 of "2026-11-22T11:23:28.104933000Z". Most calls are of the minute of the one before. */
export function secondOf(timestamp: string): number {
  const told = timestamp.slice(0, 17);
  if (told !== minute) {
    minuteBegan = Date.parse(`${told}00Z`) / 1000;
    minute = told;
  }
  return minuteBegan + (timestamp.charCodeAt(17) - 48) * 10 + (timestamp.charCodeAt(18) - 48);
}

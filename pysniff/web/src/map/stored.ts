// The map of everything that is stored in the window of the address: asked from the hub when somebody wants it.
//
// It takes each worker a read of its store. So it is asked when the question is another one, and else by the button, at
// most every ten seconds; nothing asks by itself.
import { computed, effect, signal } from "@preact/signals";
import { filter, from, to, view } from "../address";
import { address, ask, Problem } from "../api";
import type { Counts } from "../figures/tally";
import type { End, Row } from "./graph";

/** As docs/services.md describes it. */
export interface Services {
  nodes: { id: string; name: string; ips: string[]; ips_left_out: number }[];
  edges: Link[];
  calls: number;
  truncated: number;
  duplicates: number;
  from: string | null;
  to: string | null;
  nodes_failed: Record<string, string>;
}

interface Link extends Counts {
  source: string;
  target: string;
  port: number;
  protocol: string;
  elapsed_time: { p50: number; p90: number; p99: number } | null;
}

export interface Stored {
  services: Services;
  /** Of which filter and time it is. */
  question: string;
  /** When it was asked, and how long the answer took, in milliseconds. */
  at: number;
  took: number;
}

const PAUSE = 10_000; // milliseconds between two of the same question
const CHANGE = 1_000; // of different ones

/** What the address asks for. */
export const question = computed(() =>
  address("/api/services", { filter: filter.value, from: from.value, to: to.value }),
);
export const stored = signal<Stored | null>(null);
export const asking = signal(false);
export const problem = signal<Problem | null>(null);
/** Somebody looks at it. */
export const wanted = signal(false);
/** When it was asked last, in milliseconds since 1970. */
let asked = 0;
let running: AbortController | null = null;
let later: ReturnType<typeof setTimeout> | null = null;

/** Ask again, ten seconds after the last time. */
export function refresh(): void {
  askAfter(PAUSE);
}

function askAfter(pause: number): void {
  running?.abort();
  if (later !== null) clearTimeout(later);
  asking.value = true;
  later = setTimeout(() => void request(), Math.max(0, asked + pause - Date.now()));
}

async function request(): Promise<void> {
  const begun = Date.now();
  const control = new AbortController();
  running = control;
  asked = begun;
  try {
    const url = question.peek();
    const services = await ask<Services>(url, { signal: control.signal });
    stored.value = { services, question: url, at: begun, took: Date.now() - begun };
    problem.value = null;
  } catch (error) {
    if (control.signal.aborted) return;
    problem.value = error instanceof Problem ? error : new Problem(0, "internal", String(error), "");
  }
  asking.value = false;
}

let told = "";

effect(() => {
  const now = question.value;
  if (!wanted.value || view.value !== "map" || now === told) return;
  told = now;
  askAfter(CHANGE);
});

/** The answer as rows of a graph; rates are means over the time from the first call to the last. */
export function rowsOf({ nodes, edges, from, to }: Services): Row[] {
  const seconds = spanOf(from, to);
  const ends = new Map<string, End>();
  for (const { id, name, ips, ips_left_out } of nodes)
    ends.set(id, { id, named: name !== "", ips, ips_left_out, machines: [] });
  return edges.flatMap(({ source, target, elapsed_time, ...edge }) => {
    const [client, server] = [ends.get(source), ends.get(target)];
    if (!client || !server) return [];
    const latency = elapsed_time && { ...elapsed_time, most: false };
    return [{ ...edge, source: client, target: server, rate: edge.calls / seconds, latency }];
  });
}

/** Seconds from the first call to the last, 1 at least. */
export function spanOf(from: string | null, to: string | null): number {
  return from && to ? Math.max(1, (Date.parse(to) - Date.parse(from)) / 1_000) : 1;
}

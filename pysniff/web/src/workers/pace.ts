// How fast packets come, from two answers of a worker: counts over the worker's own clock.
import { type Told, total, type Worker } from "./told";

export interface Pace {
  /** A second. */
  packets: number;
  dropped: number;
  /** Packets that interfaces carried between the two answers, captured or not; null where nobody counted. */
  carried: number | null;
}

/** Of each worker by node; where an answer is as old as the last one the pace stays. */
export function paces(before: Told | null, now: Told, known: ReadonlyMap<string, Pace>): Map<string, Pace> {
  const found = new Map<string, Pace>();
  const past = new Map(before?.workers.map((worker) => [worker.node, worker]));
  for (const worker of now.workers) {
    const old = past.get(worker.node);
    const one = old && paced(old, worker);
    const stays = known.get(worker.node);
    if (one) found.set(worker.node, one);
    else if (stays && old?.session === worker.session && worker.figures) found.set(worker.node, stays);
  }
  return found;
}

function paced(old: Worker, now: Worker): Pace | null {
  if (!old.figures || !now.figures || old.session !== now.session) return null;
  const seconds = (now.figures.now_ns - old.figures.now_ns) / 1e9;
  if (seconds <= 0) return null;
  const a = old.figures.ledger;
  const b = now.figures.ledger;
  const rate = (name: string) => Math.max(0, (total(b, name) - total(a, name)) / seconds);
  return { packets: rate("live_packets"), dropped: rate("kernel_dropped"), carried: carried(old, now) };
}

function carried(old: Worker, now: Worker): number | null {
  const a = old.figures?.capture.carried;
  const b = now.figures?.capture.carried;
  if (!a || !b) return null;
  let sum = 0;
  for (const name of now.figures?.capture.interfaces ?? []) {
    const before = a[name];
    const after = b[name];
    if (before === undefined || after === undefined) return null; // of another network namespace, or new
    sum += Math.max(0, after - before);
  }
  return sum;
}

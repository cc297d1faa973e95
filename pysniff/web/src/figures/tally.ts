// What is counted of calls that have something in common, as /api/services counts them (docs/services.md).
import type { Call } from "./arrivals";
import { Histogram } from "./histogram";

/** `errors`, `unanswered` and `open` are among the calls; the rest were answered well. */
export interface Counts {
  calls: number;
  errors: number;
  unanswered: number;
  open: number;
  bytes: number;
}

export interface Tally extends Counts {
  latency: Histogram;
}

export function tally(): Tally {
  return { calls: 0, errors: 0, unanswered: 0, open: 0, bytes: 0, latency: new Histogram() };
}

/** One call more (`by` 1), or one less (-1): only open calls are taken out again, and those have no latency. */
export function count(into: Tally, call: Call, by: 1 | -1): void {
  into.calls += by;
  into.bytes += by * call.bytes;
  if (call.kind === "open") into.open += by;
  else if (call.kind === "failed") into.errors += by;
  else if (call.kind === "unanswered") into.unanswered += by;
  if (call.latency !== null && by > 0) into.latency.add(call.latency);
}

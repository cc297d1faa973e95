// From buckets of a series to the lines of the three charts, and to the rows of the table that says the same.
import type { AlignedData } from "uplot";
import type { Bucket, Points } from "./series";

export interface Row {
  /** Seconds since 1970. */
  begin: number;
  calls: number;
  rate: number;
  protocols: number[];
  errors: number;
  unanswered: number;
  /** Per cent of calls. */
  share: number | null;
  p50: number | null;
  p90: number | null;
  p99: number | null;
}

export function rowsOf({ begins, buckets, step }: Points, protocols: number): Row[] {
  return begins.map((begin, place) => rowOf(begin, buckets[place] ?? null, step, protocols));
}

function rowOf(begin: number, bucket: Bucket | null, step: number, protocols: number): Row {
  const calls = bucket?.calls ?? 0;
  const [errors, unanswered] = [bucket?.errors ?? 0, bucket?.unanswered ?? 0];
  const at = (percent: number) => bucket?.latency.percentile(percent) ?? null;
  return {
    begin,
    calls,
    rate: calls / step,
    protocols: Array.from({ length: protocols }, (_, number) => (bucket?.protocols[number] ?? 0) / step),
    errors,
    unanswered,
    share: calls ? (100 * (errors + unanswered)) / calls : null,
    p50: at(50),
    p90: at(90),
    p99: at(99),
  };
}

/** Calls a second by protocol, each on top of the one before; then errors, from the ground. */
export function rates(rows: readonly Row[], protocols: number, step: number): AlignedData {
  const lines: number[][] = [];
  for (let number = 0; number < protocols; number++) {
    const below = lines.at(-1);
    lines.push(rows.map((row, place) => (row.protocols[number] ?? 0) + (below?.[place] ?? 0)));
  }
  return [rows.map(({ begin }) => begin), ...lines, rows.map(({ errors, unanswered }) => (errors + unanswered) / step)];
}

export function shares(rows: readonly Row[]): AlignedData {
  return [rows.map(({ begin }) => begin), rows.map(({ share }) => share)];
}

/** A logarithm has no zero: less than a microsecond is one. */
export function latencies(rows: readonly Row[]): AlignedData {
  const line = (which: "p50" | "p90" | "p99") =>
    rows.map((row) => (row[which] === null ? null : Math.max(1, row[which])));
  return [rows.map(({ begin }) => begin), line("p50"), line("p90"), line("p99")];
}

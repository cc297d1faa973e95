// The figures of an edge or a node in words, the same wherever they are shown.
import { count, duration, size } from "../format";
import type { Edge, Figures, Latency } from "./graph";

/** "0.4/s", "12/s". */
export function perSecond(rate: number): string {
  if (rate === 0) return "0/s";
  if (rate < 0.1) return `${(rate * 60).toFixed(rate * 60 < 1 ? 2 : 1)}/min`;
  return `${rate < 10 ? rate.toFixed(1) : count(Math.round(rate))}/s`;
}

/** Of the calls that have ended with an answer or without. */
export function share(part: number, of: number): string {
  if (!part) return "0 %";
  const percent = (100 * part) / Math.max(1, of);
  return percent < 0.1 ? "<0.1 %" : `${percent < 10 ? percent.toFixed(1) : Math.round(percent)} %`;
}

export function took(latency: Latency | null, which: "p50" | "p90" | "p99"): string {
  if (!latency) return "–";
  return `${latency.most ? "≤ " : ""}${duration(latency[which])}`;
}

/** What a list of figures says, name by name. */
export function figures(edge: Figures & { latency?: Latency | null }, bytes: string): [string, string][] {
  const latency = edge.latency ?? null;
  return [
    ["calls", `${count(edge.calls)} (${perSecond(edge.rate)})`],
    ["errors", `${count(edge.errors)} (${share(edge.errors, edge.calls)})`],
    ["unanswered", count(edge.unanswered)],
    ["open", count(edge.open)],
    [bytes, size(edge.bytes)],
    ["p50", took(latency, "p50")],
    ["p90", took(latency, "p90")],
    ["p99", took(latency, "p99")],
  ];
}

/** How bad: of all calls, those that failed or had no answer. */
export function trouble({
  errors,
  unanswered,
  calls,
}: Pick<Edge, "errors" | "unanswered" | "calls">): "none" | "some" | "much" {
  const part = (errors + unanswered) / Math.max(1, calls);
  return part === 0 ? "none" : part < 0.05 ? "some" : "much";
}

// What came of calls that were sent again (docs/replay.md, "What comes back").
import type { ComponentChildren } from "preact";
import { count, duration } from "../format";

interface Percentiles {
  p50: number;
  p90: number;
  p99: number;
}

export interface Outcome {
  target: string;
  address: string;
  calls: number;
  count: number;
  sent: number;
  answered: number;
  failed: number;
  same: number;
  differing: number;
  not_compared: number;
  elapsed_time: Percentiles | null;
  recorded_elapsed_time: Percentiles | null;
  statuses: Record<string, number>;
  failures: { reason: string; count: number }[];
  differences: { id: string; what: string; recorded: string; replayed: string; count: number }[];
  differences_left_out: number;
  late: number;
  left_out: { id: string; reason: string }[];
  ended_early: string;
  seconds: number;
}

const NUMBERS = new Set(["p50", "p90", "p99", "Answers", "Times", "Calls"]);

export function Replayed({ outcome }: { outcome: Outcome }) {
  const { sent, answered, failed, same, differing, not_compared, seconds, target, address, late } = outcome;
  return (
    <section class="replayed" aria-label="What came of it">
      <p role="status">
        <b>{count(sent)}</b> sent to <span class="captured">{target}</span>{" "}
        <span class="faint captured">({address})</span> in {seconds} s: <b>{count(answered)}</b> answered,{" "}
        <b class={failed ? "bad" : ""}>{count(failed)}</b> failed. Of the answers <b class="good">{count(same)}</b> are
        as recorded, <b class={differing ? "warn" : ""}>{count(differing)}</b> differ
        {not_compared > 0 && `, ${count(not_compared)} had no recorded answer to compare with`}.
        {late > 0 && ` ${count(late)} had to wait for their turn: the rate was not reached.`}
      </p>
      {outcome.ended_early && <p class="bad captured">Ended early: {outcome.ended_early}</p>}
      <Table title="Times" head={["", "p50", "p90", "p99"]}>
        <Times name="Recorded" of={outcome.recorded_elapsed_time} />
        <Times name="Replayed" of={outcome.elapsed_time} />
      </Table>
      <Table title="Statuses" head={["Status", "Answers"]} empty={Object.keys(outcome.statuses).length === 0}>
        {Object.entries(outcome.statuses).map(([status, number]) => (
          <tr key={status}>
            <td class="captured">{status}</td>
            <td class="number">{count(number)}</td>
          </tr>
        ))}
      </Table>
      <Table
        title="Differences"
        head={["Call", "What", "Recorded", "Replayed", "Times"]}
        empty={outcome.differences.length === 0}
      >
        {outcome.differences.map((one) => (
          <tr key={`${one.id} ${one.what} ${one.replayed}`}>
            <td class="mono captured" title={one.id}>
              …{one.id.slice(-8)}
            </td>
            <td class="captured">{one.what}</td>
            <td class="mono captured">{one.recorded || "–"}</td>
            <td class="mono captured">{one.replayed || "–"}</td>
            <td class="number">{count(one.count)}</td>
          </tr>
        ))}
      </Table>
      {outcome.differences_left_out > 0 && <p class="faint">{count(outcome.differences_left_out)} more differences.</p>}
      <Table title="Failures" head={["Why", "Calls"]} empty={outcome.failures.length === 0}>
        {outcome.failures.map(({ reason, count: number }) => (
          <tr key={reason}>
            <td class="captured">{reason}</td>
            <td class="number">{count(number)}</td>
          </tr>
        ))}
      </Table>
      <Table title="Left out" head={["Call", "Why"]} empty={outcome.left_out.length === 0}>
        {outcome.left_out.map(({ id, reason }) => (
          <tr key={`${id} ${reason}`}>
            <td class="mono captured">{id || "several"}</td>
            <td class="captured">{reason}</td>
          </tr>
        ))}
      </Table>
    </section>
  );
}

function Table({
  title,
  head,
  empty = false,
  children,
}: {
  title: string;
  head: string[];
  empty?: boolean;
  children: ComponentChildren;
}) {
  if (empty) return null;
  return (
    <table class="replay-table">
      <caption>{title}</caption>
      <thead>
        <tr>
          {head.map((name) => (
            <th scope="col" key={name} class={NUMBERS.has(name) ? "number" : undefined}>
              {name || <span class="hidden">Which</span>}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>{children}</tbody>
    </table>
  );
}

function Times({ name, of }: { name: string; of: Percentiles | null }) {
  return (
    <tr>
      <th scope="row">{name}</th>
      {(["p50", "p90", "p99"] as const).map((key) => (
        <td class="number" key={key}>
          {of ? duration(of[key]) : "–"}
        </td>
      ))}
    </tr>
  );
}

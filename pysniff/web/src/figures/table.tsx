// What the charts show, as a table: for who cannot see them, and for copying.
import { useSignal } from "@preact/signals";
import { clock, count, duration } from "../format";
import type { Row } from "./curves";

const ROWS = 120;

export function Table({ rows, step, protocols }: { rows: readonly Row[]; step: number; protocols: readonly string[] }) {
  const open = useSignal(false);
  const told = rows.filter(({ calls }) => calls > 0);
  return (
    <details class="figures-table" onToggle={(event) => (open.value = event.currentTarget.open)}>
      <summary>The charts as a table</summary>
      {open.value && (
        <div class="wide">
          <table class="sheet" aria-label="Figures over time">
            <thead>
              <tr>
                {[
                  "from",
                  "calls",
                  ...protocols.map((protocol) => `${protocol}/s`),
                  "errors",
                  "unanswered",
                  "p50",
                  "p90",
                  "p99",
                ].map((name) => (
                  <th key={name} scope="col" class="number plain">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {told
                .slice(-ROWS)
                .reverse()
                .map((row) => (
                  <tr key={row.begin}>
                    <td class="number">{clock(new Date(row.begin * 1_000).toISOString()).slice(0, 8)}</td>
                    <td class="number">{count(row.calls)}</td>
                    {row.protocols.map((value, number) => (
                      <td class="number" key={protocols[number]}>
                        {Number(value.toPrecision(3))}
                      </td>
                    ))}
                    <td class="number">{count(row.errors)}</td>
                    <td class="number">{count(row.unanswered)}</td>
                    <td class="number">{duration(row.p50)}</td>
                    <td class="number">{duration(row.p90)}</td>
                    <td class="number">{duration(row.p99)}</td>
                  </tr>
                ))}
            </tbody>
          </table>
          <p class="faint">
            A row is {duration(step * 1e6)}; those without calls are left out
            {told.length > ROWS ? `, and ${count(told.length - ROWS)} earlier ones` : ""}.
          </p>
        </div>
      )}
    </details>
  );
}

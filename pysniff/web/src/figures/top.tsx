// The endpoints that are called most, or fail most, or take longest; a click lets only theirs through.
import { useSignal } from "@preact/signals";
import { count, duration, size } from "../format";
import { narrow } from "../map/narrow";
import { share } from "../map/words";
import { clausesOf, type Endpoint, type Endpoints } from "./endpoints";
import { shown } from "./received";

const ROWS = 100;

type Column = "calls" | "errors" | "p50" | "p99" | "bytes";
const COLUMNS: Record<Column, string> = {
  calls: "calls",
  errors: "errors",
  p50: "p50",
  p99: "p99",
  bytes: "bytes of bodies",
};

interface Shown extends Record<Column, number> {
  endpoint: Endpoint;
}

export function Top({ endpoints }: { endpoints: Endpoints }) {
  const by = useSignal<Column>("calls");
  shown.value; // they grow in place
  const rows = endpoints.kept.filter(({ calls }) => calls > 0).map(figures);
  rows.sort((one, other) => other[by.value] - one[by.value] || other.calls - one.calls);
  return (
    <section class="top-endpoints" aria-label="Top endpoints">
      <h2>
        Top endpoints <span class="faint">{count(rows.length)} different ones</span>
      </h2>
      <div class="wide">
        <table class="sheet">
          <thead>
            <tr>
              <th scope="col">endpoint</th>
              <th scope="col">service</th>
              {(Object.keys(COLUMNS) as Column[]).map((column) => (
                <th key={column} scope="col" class="number" aria-sort={by.value === column ? "descending" : undefined}>
                  <button type="button" class="quiet" onClick={() => (by.value = column)}>
                    {COLUMNS[column]}
                  </button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, ROWS).map((row) => (
              <Line
                key={`${row.endpoint.protocol}\n${row.endpoint.server}\n${row.endpoint.port}\n${row.endpoint.what}`}
                row={row}
              />
            ))}
          </tbody>
        </table>
      </div>
      {rows.length > ROWS && <p class="faint">{count(rows.length - ROWS)} more: sort otherwise, or filter.</p>}
      {endpoints.others > 0 && (
        <p class="lack">{count(endpoints.others)} calls were of endpoints beyond the first 5,000, and are in no row.</p>
      )}
    </section>
  );
}

function Line({ row: { endpoint, calls, errors, p50, p99, bytes } }: { row: Shown }) {
  const { protocol, server, port, what, unanswered } = endpoint;
  const clauses = clausesOf(endpoint);
  return (
    <tr data-trouble={errors ? "much" : "none"}>
      <td>
        <span class="protocol faint">{protocol}</span>{" "}
        <button
          type="button"
          class="value captured mono"
          title={`${what}\n${clauses.join(" && ")} (shift: exclude)`}
          onClick={(event) => narrow(clauses, event.shiftKey)}
        >
          {what || "(all)"}
        </button>
      </td>
      <td class="captured" title={server}>
        {server}:{port}
      </td>
      <td class="number">{count(calls)}</td>
      <td class="number errors">
        {count(errors)}
        {errors > 0 && <span class="faint"> {share(errors, calls)}</span>}
        {unanswered > 0 && <span class="faint"> +{count(unanswered)} unanswered</span>}
      </td>
      <td class="number">{duration(p50 < 0 ? null : p50)}</td>
      <td class="number">{duration(p99 < 0 ? null : p99)}</td>
      <td class="number">{size(bytes)}</td>
    </tr>
  );
}

function figures(endpoint: Endpoint): Shown {
  const { calls, errors, bytes, latency } = endpoint;
  return { endpoint, calls, errors, bytes, p50: latency.percentile(50) ?? -1, p99: latency.percentile(99) ?? -1 };
}

// The edges as a table: the same figures for who does not see the drawing, or has a phone.
import { useSignal } from "@preact/signals";
import { count, size } from "../format";
import { bytesWords, chosen } from "./current";
import type { Edge, Graph } from "./graph";
import { narrow } from "./narrow";
import { perSecond, share, took, trouble } from "./words";

const ROWS = 500;

type Column =
  | "from"
  | "to"
  | "port"
  | "protocol"
  | "calls"
  | "rate"
  | "errors"
  | "unanswered"
  | "open"
  | "bytes"
  | "p50"
  | "p90"
  | "p99";
const COLUMNS: readonly Column[] = [
  "from",
  "to",
  "port",
  "protocol",
  "calls",
  "rate",
  "errors",
  "unanswered",
  "open",
  "bytes",
  "p50",
  "p90",
  "p99",
];
const TEXT: ReadonlySet<Column> = new Set(["from", "to", "protocol"]);

export function Edges({ graph }: { graph: Graph }) {
  const order = useSignal<{ by: Column; down: boolean }>({ by: "calls", down: true });
  const labels = new Map(graph.nodes.map(({ id, label }) => [id, label]));
  const sorted = [...graph.edges].sort((one, other) => {
    const [a, b] = [value(one, order.value.by, labels), value(other, order.value.by, labels)];
    const compared = typeof a === "string" ? a.localeCompare(String(b)) : a - Number(b);
    return order.value.down ? -compared : compared;
  });
  const turn = (column: Column) => {
    const { by, down } = order.peek();
    order.value = { by: column, down: by === column ? !down : !TEXT.has(column) };
  };
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
    <section class="table-box" aria-label="Edges of the map" tabIndex={0}>
      <table class="sheet">
        <thead>
          <tr>
            {COLUMNS.map((column) => (
              <th
                key={column}
                scope="col"
                class={TEXT.has(column) ? "" : "number"}
                aria-sort={order.value.by !== column ? undefined : order.value.down ? "descending" : "ascending"}
              >
                <button
                  type="button"
                  class="quiet"
                  title={column === "bytes" ? bytesWords.value : undefined}
                  onClick={() => turn(column)}
                >
                  {column === "rate" ? "calls/s" : column}
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {sorted.slice(0, ROWS).map((edge) => (
            <Line key={edge.id} edge={edge} labels={labels} />
          ))}
        </tbody>
      </table>
      {sorted.length > ROWS && <p class="faint">{count(sorted.length - ROWS)} more edges: a filter shows them.</p>}
    </section>
  );
}

function Line({ edge, labels }: { edge: Edge; labels: ReadonlyMap<string, string> }) {
  const choose = (event: MouseEvent) => {
    event.stopPropagation();
    chosen.value = edge.id;
    narrow(edge.clauses(), event.shiftKey);
  };
  const [from, to] = [labels.get(edge.source) ?? "", labels.get(edge.target) ?? ""];
  return (
    <tr class={edge.id === chosen.value ? "chosen" : ""} data-trouble={trouble(edge)}>
      <td class="captured" title={from}>
        {from}
      </td>
      <td>
        <button
          type="button"
          class="value captured"
          onClick={choose}
          title={`${edge.clauses().join(" && ")} (shift: exclude)`}
          aria-label={`Only the calls from ${from} to ${to}, ${edge.protocol}${edge.port === null ? "" : `, port ${edge.port}`}`}
        >
          {to}
        </button>
      </td>
      <td class="number">{edge.port ?? "several"}</td>
      <td>{edge.protocol}</td>
      <td class="number">{count(edge.calls)}</td>
      <td class="number">{perSecond(edge.rate)}</td>
      <td class="number errors">
        {count(edge.errors)}
        {edge.errors > 0 && <span class="faint"> {share(edge.errors, edge.calls)}</span>}
      </td>
      <td class="number">{count(edge.unanswered)}</td>
      <td class="number">{count(edge.open)}</td>
      <td class="number">{size(edge.bytes)}</td>
      <td class="number">{took(edge.latency, "p50")}</td>
      <td class="number">{took(edge.latency, "p90")}</td>
      <td class="number">{took(edge.latency, "p99")}</td>
    </tr>
  );
}

function value(edge: Edge, column: Column, labels: ReadonlyMap<string, string>): string | number {
  switch (column) {
    case "from":
      return labels.get(edge.source) ?? "";
    case "to":
      return labels.get(edge.target) ?? "";
    case "p50":
    case "p90":
    case "p99":
      return edge.latency?.[column] ?? -1;
    case "port":
      return edge.port ?? -1;
    default:
      return edge[column];
  }
}

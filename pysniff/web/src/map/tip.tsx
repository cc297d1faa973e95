// What the pointer or the focus is on, in figures.
import { count } from "../format";
import { bytesWords } from "./current";
import type { Graph } from "./graph";
import { figures } from "./words";

export function Tip({ graph, id }: { graph: Graph; id: string }) {
  const edge = graph.edges.find((one) => one.id === id);
  const node = graph.nodes.find((one) => one.id === id);
  if (edge) {
    const label = (end: string) => graph.nodes.find((one) => one.id === end)?.label ?? end;
    return (
      <div class="map-tip" aria-hidden="true">
        <p class="captured">
          {label(edge.source)} → {label(edge.target)}
        </p>
        <p>
          {edge.protocol}
          {edge.port === null ? "" : ` to port ${edge.port}`}
        </p>
        <List pairs={figures(edge, bytesWords.value)} />
      </div>
    );
  }
  if (!node) return null;
  const pairs: [string, string][] = [
    ["made", count(node.made)],
    ["answered", count(node.answered)],
    ["errors", count(node.errors)],
  ];
  if (node.services > 1) pairs.push(["services", count(node.services)]);
  const ips = node.ips.slice(0, 5).join(", ");
  const more = node.ips.length + node.ips_left_out - 5;
  return (
    <div class="map-tip" aria-hidden="true">
      <p class="captured">{node.label}</p>
      {(node.ips.length !== 1 || node.ips[0] !== node.label) && (
        <p class="captured faint">
          {ips}
          {more > 0 ? ` and ${count(more)} more` : ""}
        </p>
      )}
      <List pairs={pairs} />
    </div>
  );
}

export function List({ pairs }: { pairs: readonly [string, string][] }) {
  return (
    <dl class="figures-list">
      {pairs.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

// The edge or the service that was chosen: its figures, and what can be done with it.
import { view } from "../address";
import { count } from "../format";
import { bytesWords, chosen } from "./current";
import type { Graph } from "./graph";
import { narrow } from "./narrow";
import { List } from "./tip";
import { figures } from "./words";

export function Chosen({ graph }: { graph: Graph }) {
  const edge = graph.edges.find((one) => one.id === chosen.value);
  const node = graph.nodes.find((one) => one.id === chosen.value);
  const found = edge ?? node;
  if (!found) return null;
  const label = (id: string) => graph.nodes.find((one) => one.id === id)?.label ?? id;
  return (
    <section class="chosen-panel" aria-label="Chosen on the map">
      <h2 class="captured">{edge ? `${label(edge.source)} → ${label(edge.target)}` : node?.label}</h2>
      {edge && (
        <>
          <p>
            {edge.protocol}
            {edge.port === null ? "" : ` to port ${edge.port}`}
          </p>
          <List pairs={figures(edge, bytesWords.value)} />
        </>
      )}
      {node && (
        <List
          pairs={[
            ["made", count(node.made)],
            ["answered", count(node.answered)],
            ["errors", count(node.errors)],
          ]}
        />
      )}
      <p class="buttons">
        <button type="button" class="main" onClick={() => (view.value = "calls")}>
          Show calls
        </button>
        <button
          type="button"
          disabled={!found.clauses().length}
          onClick={() => {
            narrow(found.clauses(), true);
            chosen.value = "";
          }}
        >
          Exclude
        </button>
        <button type="button" class="quiet" onClick={() => (chosen.value = "")}>
          Close
        </button>
      </p>
    </section>
  );
}

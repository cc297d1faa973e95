// What of a graph is drawn: the 200 busiest services, and the 600 busiest edges between them.
import type { Edge, Graph, Node } from "./graph";

const NODES = 200;
const EDGES = 600;

export interface Part {
  nodes: readonly Node[];
  edges: readonly Edge[];
  /** Edges between the same two run beside each other, in lanes from 0. */
  lanes: ReadonlyMap<string, number>;
}

export function part(graph: Graph): Part {
  const nodes = graph.nodes.slice(0, NODES);
  const there = new Set(nodes.map(({ id }) => id));
  const edges = graph.edges.filter(({ source, target }) => there.has(source) && there.has(target)).slice(0, EDGES);
  const used = new Map<string, number>();
  const lanes = new Map<string, number>();
  for (const { id, source, target } of edges) {
    const pair = `${source}\n${target}`;
    const lane = used.get(pair) ?? 0;
    used.set(pair, lane + 1);
    lanes.set(id, lane);
  }
  return { nodes, edges, lanes };
}

/** What belongs to a node or an edge: itself, its edges, their ends. */
export function neighbours(id: string, edges: readonly Edge[]): ReadonlySet<string> {
  const found = new Set<string>();
  if (!id) return found;
  for (const edge of edges) {
    if (edge.id !== id && edge.source !== id && edge.target !== id) continue;
    for (const one of [edge.id, edge.source, edge.target]) found.add(one);
  }
  return found;
}

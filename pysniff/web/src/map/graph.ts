// The graph that is drawn: services as nodes, what goes between them as edges, put together by what one groups by.
//
// Rows come from the hub (/api/services) or from the calls that this page received; both become the same graph.
import { Histogram } from "../figures/histogram";
import { quoted } from "../filter/literal";

export type By = "service" | "port" | "namespace" | "machine" | "address";

/** Microseconds. `most`: of several edges whose own percentiles alone are known, so theirs together are not above. */
export interface Latency {
  p50: number;
  p90: number;
  p99: number;
  most: boolean;
}

/** A service: `id` is its name, or its address where nobody knows one. */
export interface End {
  id: string;
  named: boolean;
  ips: readonly string[];
  ips_left_out: number;
  /** The machines that saw every call of it; only what this page received says so. */
  machines: readonly string[];
}

export interface Figures {
  calls: number;
  errors: number;
  unanswered: number;
  open: number;
  bytes: number;
  /** Calls a second, over Graph.seconds. */
  rate: number;
}

export interface Row extends Figures {
  source: End;
  target: End;
  port: number;
  protocol: string;
  latency: Histogram | Latency | null;
}

export interface Edge extends Figures {
  id: string;
  source: string;
  target: string;
  /** Null: of several. */
  port: number | null;
  protocol: string;
  latency: Latency | null;
  /** The clauses of a filter that let these calls through. */
  clauses(): string[];
}

export interface Node {
  id: string;
  label: string;
  named: boolean;
  ips: readonly string[];
  ips_left_out: number;
  /** Services in it, where it stands for several. */
  services: number;
  /** Calls that it made, and that it answered. */
  made: number;
  answered: number;
  errors: number;
  /** As those of an edge; none where no filter says which calls these are. */
  clauses(): string[];
}

export interface Graph {
  nodes: readonly Node[];
  /** Those with the most calls first. */
  edges: readonly Edge[];
}

interface Group {
  id: string;
  label: string;
  named: boolean;
  /** Null: of every port. */
  port: number | null;
  /** The clause for calls of it as client or server; "" where no filter says that. */
  of(side: "src" | "dst"): string;
}

interface Gathered extends Edge {
  histograms: Histogram[];
}

export function graphOf(rows: Iterable<Row>, by: By): Graph {
  const nodes = new Map<string, { node: Node; ends: Set<End> }>();
  const edges = new Map<string, Gathered>();
  const gather = (group: Group, end: End): Node => {
    let found = nodes.get(group.id);
    if (!found) {
      found = { node: nodeOf(group), ends: new Set() };
      nodes.set(group.id, found);
    }
    found.ends.add(end);
    return found.node;
  };
  const known = new Map<End, Map<number | null, Group>>();
  const group = (end: End, port: number | null): Group => {
    const ports = known.get(end) ?? new Map<number | null, Group>();
    if (!ports.size) known.set(end, ports);
    const found = ports.get(port) ?? groupOf(end, by, port);
    ports.set(port, found);
    return found;
  };
  for (const row of rows) {
    const source = group(row.source, null);
    const target = group(row.target, by === "port" ? row.port : null);
    gather(source, row.source).made += row.calls;
    const answering = gather(target, row.target);
    answering.answered += row.calls;
    answering.errors += row.errors;
    const port = by === "namespace" || by === "machine" ? null : row.port;
    const id = `${source.id}\n${target.id}\n${port ?? ""}\n${row.protocol}`;
    const edge = edges.get(id);
    if (edge) add(edge, row);
    else edges.set(id, edgeOf(id, row, source, target, port));
  }
  return {
    nodes: [...nodes.values()].map(({ node, ends }) => ({ ...node, ...addresses(ends) })).sort(busier),
    edges: [...edges.values()]
      .map(finished)
      .sort((one, other) => other.calls - one.calls || (one.id < other.id ? -1 : 1)),
  };
}

/** "cart.shop.svc.cluster.local" is of the namespace shop: the label behind the service's own. "" where there is none. */
export function namespaceOf({ id, named }: { id: string; named: boolean }): string {
  return named ? (id.split(".")[1] ?? "") : "";
}

export function percentiles(histogram: Histogram): Latency | null {
  const [p50, p90, p99] = [histogram.percentile(50), histogram.percentile(90), histogram.percentile(99)];
  return p50 === null || p90 === null || p99 === null ? null : { p50, p90, p99, most: false };
}

function busier(one: Node, other: Node): number {
  return other.made + other.answered - one.made - one.answered || (one.id < other.id ? -1 : 1);
}

function groupOf(end: End, by: By, port: number | null): Group {
  const { id, named } = end;
  switch (by) {
    case "namespace": {
      const name = namespaceOf(end);
      return {
        id: `namespace:${name}`,
        label: name || "(no namespace)",
        named: name !== "",
        port: null,
        of: (side) => (name ? `${side}.name.matches(${second(name)})` : `!${side}.name.matches("^[^.]*[.][^.]")`),
      };
    }
    case "machine": {
      const label = end.machines.join(" + ") || "(several machines)";
      const [only, ...more] = end.machines;
      const one = only !== undefined && !more.length;
      return {
        id: `machine:${label}`,
        label,
        named: one,
        port: null,
        of: () => (one ? `node_id == ${quoted(only)}` : ""),
      };
    }
    default: {
      const label =
        by !== "port" || port === null ? id : named || !id.includes(":") ? `${id}:${port}` : `[${id}]:${port}`;
      return {
        id: `${by === "port" && port !== null ? "port" : "service"}:${label}`,
        label,
        named,
        port: by === "port" ? port : null,
        of: (side) => `${side}.${named ? "name" : "ip"} == ${quoted(id)}`,
      };
    }
  }
}

/** A pattern (RE2) for names whose second label is this one. */
function second(label: string): string {
  const plain = label.replace(/[^\w-]/g, (character) => (character < "\x80" ? `\\${character}` : character));
  return quoted(`^[^.]*[.]${plain}([.]|$)`);
}

function nodeOf({ id, label, named, port, of }: Group): Node {
  const clauses = () => {
    const [asked, answered] = [of("src"), of("dst")];
    if (port !== null) return [answered, `dst.port == ${port}`];
    return asked === answered ? [asked].filter(Boolean) : [`(${asked} || ${answered})`];
  };
  return { id, label, named, clauses, ips: [], ips_left_out: 0, services: 0, made: 0, answered: 0, errors: 0 };
}

function edgeOf(id: string, row: Row, source: Group, target: Group, port: number | null): Gathered {
  const { calls, errors, unanswered, open, bytes, rate, protocol, latency } = row;
  const clauses = () => {
    const ends = [source.of("src"), target.of("dst"), port === null ? "" : `dst.port == ${port}`].filter(Boolean);
    return [...new Set([...ends, `protocol == ${quoted(protocol)}`])];
  };
  const known = latency && "p50" in latency ? latency : null;
  const histograms = latency && "merge" in latency ? [latency] : [];
  // Thousands of these are made each time: spreading takes several times as long.
  return {
    id,
    source: source.id,
    target: target.id,
    port,
    protocol,
    clauses,
    calls,
    errors,
    unanswered,
    open,
    bytes,
    rate,
    latency: known,
    histograms,
  };
}

function add(edge: Gathered, row: Row): void {
  for (const name of ["calls", "errors", "unanswered", "open", "bytes", "rate"] as const) edge[name] += row[name];
  if (row.latency === null) return;
  if ("merge" in row.latency) edge.histograms.push(row.latency);
  else edge.latency = atMost(edge.latency, row.latency);
}

/** No percentile of two together is above the greater one of theirs. */
function atMost(one: Latency | null, other: Latency): Latency {
  if (!one) return other;
  return {
    p50: Math.max(one.p50, other.p50),
    p90: Math.max(one.p90, other.p90),
    p99: Math.max(one.p99, other.p99),
    most: true,
  };
}

/** Percentiles are made once all of an edge's histograms are there. */
function finished(edge: Gathered): Edge {
  const [only, ...more] = edge.histograms;
  if (!only) return edge;
  if (!more.length) edge.latency = percentiles(only);
  else {
    const together = new Histogram();
    for (const one of edge.histograms) together.merge(one);
    edge.latency = percentiles(together);
  }
  return edge;
}

function addresses(ends: ReadonlySet<End>) {
  const every = [...ends];
  return {
    ips: every.flatMap((end) => end.ips),
    ips_left_out: every.reduce((sum, end) => sum + end.ips_left_out, 0),
    services: every.length,
  };
}

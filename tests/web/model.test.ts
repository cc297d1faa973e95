import assert from "node:assert/strict";
import { test } from "node:test";
import { Arrivals, secondOf } from "../../pysniff/web/src/figures/arrivals";
import { shortened } from "../../pysniff/web/src/format";
import { type By, type Edge, graphOf } from "../../pysniff/web/src/map/graph";
import { Layout } from "../../pysniff/web/src/map/layout";
import { Model } from "../../pysniff/web/src/map/model";
import { at, seen } from "./calls_seen";

const end = (ip: string, name = "", port = 80) => ({ ip, port, name });

function model(...calls: ReturnType<typeof seen>[]): Model {
  const found = new Model();
  const arrivals = new Arrivals((call, by) => found.count(call, by));
  for (const call of calls) arrivals.add(call);
  return found;
}

function graph(found: Model, by: By = "service") {
  return graphOf(found.rows(by === "address", secondOf(at(0)), null), by);
}

const ends = ({ source, target, port, calls }: Edge) => [source, target, port, calls];

test("calls between the same two on one port and protocol are one edge", () => {
  const found = graph(
    model(seen(), seen({ ok: false }), seen({ dst: end("10.0.0.8", "", 81) }), seen({ protocol: "grpc" })),
  );
  assert.deepEqual(found.edges.map(ends), [
    ["service:10.0.0.7", "service:10.0.0.8", 80, 2],
    ["service:10.0.0.7", "service:10.0.0.8", 80, 1],
    ["service:10.0.0.7", "service:10.0.0.8", 81, 1],
  ]);
  assert.deepEqual([found.edges[0]?.errors, found.edges[0]?.bytes, found.edges[0]?.latency?.p50], [1, 20, 1_007]);
  assert.deepEqual(
    found.nodes.map(({ label, made, answered, errors }) => [label, made, answered, errors]),
    [
      ["10.0.0.7", 4, 0, 0],
      ["10.0.0.8", 0, 4, 1],
    ],
  );
});

test("a name counts for what its address did before anybody knew it, if it had no other", () => {
  const found = model(seen(), seen({ dst: end("10.0.0.8", "shop") }), seen({ dst: end("10.0.0.9", "shop") }));
  const [edge, ...more] = graph(found).edges;
  assert.deepEqual([edge?.target, edge?.calls, more], ["service:shop", 3, []]);
  assert.deepEqual(graph(found).nodes.find(({ label }) => label === "shop")?.ips, ["10.0.0.8", "10.0.0.9"]);
  assert.equal(graph(found, "address").edges.length, 2);
  const two = model(seen(), seen({ dst: end("10.0.0.8", "shop") }), seen({ dst: end("10.0.0.8", "cart") }));
  assert.equal(graph(two).edges.length, 3);
});

test("an open call counts once, and then as what it became", () => {
  const open = seen({ state: "open", ok: false, elapsed_time: null });
  const closed = { ...open, summary: { ...open.summary, state: "closed" as const, faults: ["unanswered"] } };
  assert.deepEqual(
    graph(model(open, open)).edges.map(({ calls, open }) => [calls, open]),
    [[1, 1]],
  );
  const [edge] = graph(model(open, closed)).edges;
  assert.deepEqual([edge?.calls, edge?.open, edge?.unanswered, edge?.errors, edge?.latency], [1, 0, 1, 0, null]);
});

test("a rate is of the ten seconds before now, and falls as they pass", () => {
  const found = model(...Array.from({ length: 40 }, (_, number) => seen({ timestamp: at(number - 20) })));
  const rate = (now: number) => found.rows(false, secondOf(at(now)), null)[0]?.rate;
  assert.deepEqual([rate(19), rate(24), rate(29)], [1, 0.5, 0]);
  assert.equal(found.rows(false, 0, 20)[0]?.rate, 2);
});

test("what there is no room for is counted", () => {
  const many = Array.from({ length: 2_100 }, (_, number) => seen({ src: end(`10.1.${number >> 8}.${number & 255}`) }));
  const found = model(...many, seen({ src: end("10.1.0.0") }));
  assert.deepEqual([found.calls, found.beyond], [2_000, 101]);
  const ports = model(...Array.from({ length: 5_003 }, (_, number) => seen({ dst: end("10.0.0.8", "", number) })));
  assert.deepEqual([ports.calls, ports.beyond], [5_000, 3]);
});

test("namespaces, machines and ports are groups with filters of their own", () => {
  const cart = end("10.0.0.8", "cart.shop.svc.cluster.local");
  const found = model(seen({ dst: cart }, ["n1", "n2"]), seen({ src: cart, dst: end("10.0.0.9", "db.data") }, ["n2"]));
  assert.deepEqual(
    graph(found, "namespace").edges.map(({ source, target }) => [source, target]),
    [
      ["namespace:", "namespace:shop"],
      ["namespace:shop", "namespace:data"],
    ],
  );
  assert.deepEqual(graph(found, "namespace").edges[1]?.clauses(), [
    'src.name.matches("^[^.]*[.]shop([.]|$)")',
    'dst.name.matches("^[^.]*[.]data([.]|$)")',
    'protocol == "http"',
  ]);
  assert.deepEqual(
    graph(found, "machine")
      .nodes.map(({ label }) => label)
      .sort(),
    ["n1 + n2", "n2"],
  );
  assert.deepEqual(
    graph(found, "port").nodes.map(({ label }) => label),
    ["cart.shop.svc.cluster.local:80", "db.data:80", "10.0.0.7", "cart.shop.svc.cluster.local"],
  );
  assert.deepEqual(graph(found).edges[1]?.clauses(), [
    'src.name == "cart.shop.svc.cluster.local"',
    'dst.name == "db.data"',
    "dst.port == 80",
    'protocol == "http"',
  ]);
});

test("of edges put together without their calls, percentiles are bounds", () => {
  const row = { calls: 1, errors: 0, unanswered: 0, open: 0, bytes: 0, rate: 0, port: 80, protocol: "http" };
  const service = (id: string) => ({ id, named: true, ips: [], ips_left_out: 0, machines: [] });
  const latency = (p99: number) => ({ p50: 1, p90: 2, p99, most: false });
  const { edges } = graphOf(
    [
      { ...row, source: service("a.x"), target: service("b.y"), latency: latency(5) },
      { ...row, source: service("c.x"), target: service("b.y"), latency: latency(9) },
    ],
    "namespace",
  );
  assert.deepEqual(
    edges.map(({ calls, latency }) => [calls, latency]),
    [[2, { p50: 1, p90: 2, p99: 9, most: true }]],
  );
});

test("a node keeps its place when others come, and comes back to it", () => {
  const layout = new Layout();
  const nodes = (...ids: string[]) => ids.map((id) => ({ id, radius: 10 }));
  layout.show(nodes("a", "b", "c"), [{ source: "a", target: "b" }], true);
  const before = layout.places.get("a");
  const [x, y] = [before?.x, before?.y];
  layout.show(nodes("a", "b", "c"), [{ source: "a", target: "b" }], true);
  assert.deepEqual([layout.places.get("a")?.x, layout.places.get("a")?.y], [x, y]);
  layout.show(nodes("b"), [], false);
  layout.show(nodes("a", "b", "c"), [{ source: "a", target: "b" }], false);
  assert.deepEqual([layout.places.get("a")?.x, layout.places.get("a")?.y], [x, y]);
  layout.show(nodes("a", "b", "c", "d"), [{ source: "a", target: "d" }], true);
  assert.ok(layout.settled);
  for (const { x, y } of layout.places.values()) assert.ok(Number.isFinite(x + y));
});

test("long names keep both ends", () => {
  assert.equal(shortened("cart.shop.svc.cluster.local", 12), "cart.sh…ocal");
  assert.equal(shortened("cart", 12), "cart");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { Arrivals, secondOf } from "../../pysniff/web/src/figures/arrivals";
import { latencies, rates, rowsOf } from "../../pysniff/web/src/figures/curves";
import { clausesOf, Endpoints } from "../../pysniff/web/src/figures/endpoints";
import { Series } from "../../pysniff/web/src/figures/series";
import { at, seen } from "./calls_seen";

const T = secondOf(at(0));

function series(): [Series, Arrivals] {
  const found = new Series();
  return [found, new Arrivals((call, by) => found.count(call, by))];
}

test("calls stand in the second in which they began", () => {
  const [series_, arrivals] = series();
  for (const second of [0, 0, 1, 5]) arrivals.add(seen({ timestamp: at(second) }));
  const { step, begins, buckets } = series_.points(T, T + 5, 600);
  assert.equal(step, 1);
  assert.deepEqual(begins, [T, T + 1, T + 2, T + 3, T + 4, T + 5]);
  assert.deepEqual(
    buckets.map((bucket) => bucket?.calls ?? 0),
    [2, 1, 0, 0, 0, 1],
  );
});

test("an open call that ends counts once, with its latency", () => {
  const [series_, arrivals] = series();
  const open = seen({ state: "open", elapsed_time: null, ok: false });
  arrivals.add(open);
  arrivals.add(open);
  assert.equal(arrivals.calls, 1);
  assert.equal(series_.points(T, T, 600).buckets[0]?.open, 1);
  arrivals.add({ ...open, summary: { ...open.summary, state: "closed", elapsed_time: 7, ok: false, status: "500" } });
  const bucket = series_.points(T, T, 600).buckets[0];
  assert.deepEqual([arrivals.calls, bucket?.calls, bucket?.open, bucket?.errors], [1, 1, 0, 1]);
  assert.equal(bucket?.latency.percentile(50), 7);
});

test("an open call too many is forgotten, and said so", () => {
  const [series_, arrivals] = series();
  for (let number = 0; number < 65_540; number++) arrivals.add(seen({ state: "open" }));
  assert.equal(arrivals.forgotten, 4);
  assert.equal(arrivals.calls, 65_536);
  assert.equal(series_.points(T, T, 600).buckets[0]?.calls, 65_536);
});

test("what is older than an hour stands in minutes, and nothing is lost on the way", () => {
  const [series_, arrivals] = series();
  const hours = 5;
  for (let second = 0; second < hours * 3_600; second += 10) arrivals.add(seen({ timestamp: at(second) }));
  // History comes later than what is new.
  for (let second = -600; second < 0; second += 10) arrivals.add(seen({ timestamp: at(second) }));
  const { step, buckets } = series_.points(T - 600, T + hours * 3_600 - 1, 600);
  assert.equal(step, 60);
  assert.equal(
    buckets.reduce((sum, bucket) => sum + (bucket?.calls ?? 0), 0),
    arrivals.calls,
  );
  assert.equal(buckets[20]?.calls, 6);
  assert.equal(series_.points(T + hours * 3_600 - 60, T + hours * 3_600 - 1, 600).step, 1);
});

test("a time that makes no sense makes no endless chart", () => {
  const [series_, arrivals] = series();
  arrivals.add(seen({ timestamp: "1970-01-01T00:00:00.000000000Z" }));
  arrivals.add(seen());
  assert.ok(series_.points(arrivals.oldest, arrivals.newest, 600).begins.length <= 601);
});

test("the curves stack protocols and leave gaps where there is no latency", () => {
  const [series_, arrivals] = series();
  arrivals.add(seen());
  arrivals.add(seen({ protocol: "dns", ok: false, elapsed_time: null, faults: ["unanswered"] }));
  arrivals.add(seen({ timestamp: at(2), elapsed_time: 20, ok: false }));
  const rows = rowsOf(series_.points(T, T + 2, 600), 2);
  assert.deepEqual(series_.protocols, ["http", "dns"]);
  assert.deepEqual(rates(rows, 2, 1).slice(1), [
    [1, 0, 1],
    [2, 0, 1],
    [1, 0, 1],
  ]);
  assert.deepEqual(
    rows.map(({ errors, unanswered, share }) => [errors, unanswered, share]),
    [
      [0, 1, 50],
      [0, 0, null],
      [1, 0, 100],
    ],
  );
  assert.deepEqual(latencies(rows)[1], [1_007, null, 20]);
});

test("endpoints are told apart by what is asked, not by its arguments", () => {
  const endpoints = new Endpoints();
  const arrivals = new Arrivals((call, by) => endpoints.count(call, by));
  const dst = { ip: "10.0.0.8", port: 6379, name: "cache.test" };
  for (let number = 0; number < 3; number++)
    arrivals.add(seen({ protocol: "redis", summary: `GET key${number}`, dst }));
  arrivals.add(seen({ summary: "GET /cart" }));
  arrivals.add(seen({ summary: "GET /cart", ok: false }));
  const found = endpoints.kept;
  assert.deepEqual(
    found.map(({ what, calls, errors }) => [what, calls, errors]),
    [
      ["GET", 3, 0],
      ["GET /cart", 2, 1],
    ],
  );
  assert.deepEqual(found.map(clausesOf), [
    ['dst.name == "cache.test"', "dst.port == 6379", 'redis_command == "GET"'],
    ['dst.ip == "10.0.0.8"', "dst.port == 80", "http", "!grpc", 'method == "GET"', 'path == "/cart"'],
  ]);
});

test("endpoints beyond the bound count together", () => {
  const endpoints = new Endpoints();
  const arrivals = new Arrivals((call, by) => endpoints.count(call, by));
  for (let number = 0; number < 5_010; number++) arrivals.add(seen({ summary: `GET /${number}` }));
  assert.deepEqual([endpoints.kept.length, endpoints.others], [5_000, 10]);
});

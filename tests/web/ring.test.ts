import assert from "node:assert/strict";
import { test } from "node:test";
import type { Summary } from "../../pysniff/web/src/entry";
import { hashedNumber, Places } from "../../pysniff/web/src/feed/places";
import { Chunk, Ring } from "../../pysniff/web/src/feed/ring";
import { packed, summary } from "./calls";

function put(ring: Ring, told: Summary, number = 0) {
  return ring.put(packed(told, number), told);
}

function ids(ring: Ring): string[] {
  return Array.from({ length: ring.count }, (_, row) => ring.at(ring.first + row)?.summary.id ?? "none");
}

test("rows are in the order in which they came, and pages of older ones above them", () => {
  const ring = new Ring(10);
  for (const id of [5, 6]) assert.equal(put(ring, summary(id)), "added");
  for (const id of [4, 3]) assert.equal(ring.putBefore(packed(summary(id)), summary(id)), "added");
  assert.deepEqual(ids(ring), ["3", "4", "5", "6"]);
  assert.equal(ring.positionOf("3"), -2);
  assert.equal(ring.positionOf("6"), 1);
  assert.equal(ring.positionOf("7"), null);
});

test("beyond the bound the topmost fall out, are counted, and are not found any more", () => {
  const ring = new Ring(100);
  for (let id = 0; id < 1_234; id++) put(ring, summary(id));
  assert.equal(ring.count, 100);
  assert.equal(ring.evicted, 1_134);
  assert.deepEqual(ids(ring).slice(0, 2), ["1134", "1135"]);
  assert.equal(ring.positionOf("1133"), null);
  for (let id = 1_134; id < 1_234; id++) assert.equal(ring.positionOf(String(id)), id);
});

test("a position stays while others come and go", () => {
  const ring = new Ring(4);
  for (const id of [1, 2, 3]) put(ring, summary(id));
  const position = ring.positionOf("3");
  put(ring, summary(4));
  put(ring, summary(5));
  assert.equal(ring.positionOf("3"), position);
  assert.equal(ring.at(position ?? Number.NaN)?.summary.id, "3");
  assert.equal(ring.at(0), null);
});

test("no row is above a full list", () => {
  const ring = new Ring(2);
  for (const id of [8, 9]) put(ring, summary(id));
  assert.equal(ring.putBefore(packed(summary(7)), summary(7)), "full");
  assert.deepEqual(ids(ring), ["8", "9"]);
});

test("an open call has one row, which its end replaces where it stands", () => {
  const ring = new Ring(10);
  const open = summary("a", { state: "open", status: "" });
  put(ring, open);
  put(ring, summary("b"));
  assert.deepEqual(
    [...ring.open()].map((one) => one.summary.id),
    ["a"],
  );
  assert.equal(put(ring, summary("a")), "replaced");
  assert.deepEqual(ids(ring), ["a", "b"]);
  assert.equal(ring.at(0)?.summary.state, "closed");
  assert.deepEqual([...ring.open()], []);
});

test("what is closed does not change, and history does not turn time back", () => {
  const ring = new Ring(10);
  put(ring, summary("a", { status: "201" }));
  assert.equal(put(ring, summary("a")), "known");
  assert.equal(ring.putBefore(packed(summary("a")), summary("a", { state: "open" })), "known");
  assert.equal(ring.at(0)?.summary.status, "201");
  const open = summary("b", { state: "open", response_size: 9 });
  put(ring, open);
  assert.equal(ring.putBefore(packed(open), { ...open, response_size: 3 }), "known");
  assert.equal(ring.putBefore(packed(summary("b")), summary("b")), "replaced");
});

test("what history took for the end is replaced by what came after it", () => {
  const end = (second: number) => `2026-11-22T12:00:0${second}.000000000Z`;
  const ring = new Ring(10);
  const cut = summary("a", { completed: end(1), status: "", faults: ["unanswered"] });
  ring.putBefore(packed(cut), cut);
  assert.equal(put(ring, cut), "known");
  assert.equal(put(ring, summary("a", { state: "open" })), "replaced");
  assert.equal(put(ring, summary("a", { completed: end(3) })), "replaced");
  assert.equal(put(ring, summary("a", { completed: end(3) })), "known");
  assert.equal(put(ring, cut), "known");
  assert.equal(ring.count, 1);
});

test("bytes are bounded by the messages that stay, whatever of them is used", () => {
  const message = (id: string) =>
    new Chunk(new Uint8Array(1_000).fill(0)) && packed(summary(id, { summary: "x".repeat(800) }));
  const ring = new Ring(1_000, 20_000);
  for (let id = 0; id < 100; id++) ring.put(message(String(id)), summary(id));
  assert.ok(ring.bytes <= 20_000, String(ring.bytes));
  assert.ok(ring.count > 5 && ring.count < 30, String(ring.count));
  assert.equal(ring.count + ring.evicted, 100);
  while (ring.count) ring.evict();
  assert.equal(ring.bytes, 0);
});

test("a call is seen on further nodes by the hub's number, until another hub counts anew", () => {
  const ring = new Ring(4);
  for (let id = 1; id <= 6; id++) put(ring, summary(id), id);
  assert.deepEqual(ring.also(5, ["n2"])?.nodes, ["n1", "n2"]);
  assert.deepEqual(ring.at(ring.positionOf("5") ?? 0)?.nodes, ["n1", "n2"]);
  assert.equal(ring.also(1, ["n2"]), null, "it fell out");
  ring.forgetNumbers();
  assert.equal(ring.also(6, ["n2"]), null);
});

test("a table of places finds what is there and nothing else, through a long history", () => {
  const most = 64;
  const places = new Places(most);
  const there = new Map<number, number>(); // by place
  let seed = 7;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  for (let step = 0; step < 20_000; step++) {
    const place = random(most);
    const known = there.get(place);
    if (known === undefined) {
      const number = random(200);
      places.add(hashedNumber(number) & 0xff, place); // so that many collide
      there.set(place, number);
    } else {
      places.remove(place);
      there.delete(place);
    }
    const asked = random(200);
    const found = places.find(hashedNumber(asked) & 0xff, (one) => there.get(one) === asked);
    assert.equal(found !== null, [...there.values()].includes(asked));
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { duration, endpoint, size } from "../../pysniff/web/src/format";

test("durations keep two digits that matter", () => {
  assert.equal(duration(86), "86 µs");
  assert.equal(duration(2_543), "2.5 ms");
  assert.equal(duration(1_234_567), "1.2 s");
  assert.equal(duration(null), "–");
});

test("sizes are decimal", () => {
  assert.equal(size(999), "999 B");
  assert.equal(size(1_500), "1.5 kB");
  assert.equal(size(25_000_000), "25 MB");
});

test("an end has its name, or its address", () => {
  assert.equal(endpoint({ ip: "10.0.0.7", port: 80, name: "" }), "10.0.0.7:80");
  assert.equal(endpoint({ ip: "fe80::1", port: 80, name: "" }), "[fe80::1]:80");
  assert.equal(endpoint({ ip: "10.0.0.7", port: 80, name: "shop.example" }), "shop.example:80");
});

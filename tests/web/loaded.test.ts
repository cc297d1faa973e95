import assert from "node:assert/strict";
import { test } from "node:test";
import { type Full, Recent } from "../../pysniff/web/src/call/loaded";

const full = (size: number, limit = 10): Full => ({ entry: {} as Full["entry"], text: "x".repeat(size), limit });

test("the calls that were looked at last are at hand, within both bounds", () => {
  const recent = new Recent(3, 100);
  for (const id of ["a", "b", "c"]) recent.put(id, full(10));
  assert.ok(recent.get("a", 10));
  recent.put("d", full(10));
  assert.deepEqual(
    ["a", "b", "c", "d"].filter((id) => recent.get(id, 10)),
    ["a", "c", "d"],
  );
  recent.put("e", full(95));
  assert.deepEqual([recent.count, recent.get("e", 10)?.text.length], [1, 95]);
});

test("a call with less of its bodies than is wanted is asked for again", () => {
  const recent = new Recent();
  recent.put("a", full(1, 10));
  assert.equal(recent.get("a", 20), null);
  recent.put("a", full(1, 20));
  assert.ok(recent.get("a", 10));
});

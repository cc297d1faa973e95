import assert from "node:assert/strict";
import { test } from "node:test";
import { DEPTH, json, NODES, NotJson } from "../../pysniff/web/src/call/tree/json";
import { member, path, preview, written } from "../../pysniff/web/src/call/tree/node";
import { everything, matches, opened, rows } from "../../pysniff/web/src/call/tree/rows";

const DOCUMENT =
  '{"id": 4616471093031469056, "price": 1.50, "tags": ["a", "b\\n\\u00e9"], "none": null, "in": {"deep": []}}';

test("JSON is read as JSON.parse reads it", () => {
  for (const text of ["[]", "{}", '"\\"\\\\"', "-0.5e+3", "[1,[2,[3]],{}]", ' {"a" : [ true , false ] } ', DOCUMENT]) {
    assert.deepEqual(JSON.parse(written(json(text))), JSON.parse(text), text);
  }
});

test("numbers keep their digits", () => {
  assert.equal(member(json(DOCUMENT), "id")?.text, "4616471093031469056");
  assert.equal(member(json(DOCUMENT), "price")?.text, "1.50");
});

test("keys that repeat are all there", () => {
  assert.deepEqual(
    json('{"a": 1, "a": 2}').children?.map(({ name, text }) => [name, text]),
    [
      ["a", "1"],
      ["a", "2"],
    ],
  );
});

test("what is no JSON is refused with its place", () => {
  for (const text of ["", "{", "[1,]", '{"a" 1}', "{a: 1}", "[1 2]", '"\\x"', "nul", "1 2", "]", '{"a":}']) {
    assert.throws(() => json(text), NotJson, text);
  }
  assert.throws(() => json("[1, x]"), /character 5/);
});

test("a text that is cut anywhere shows its beginning", () => {
  for (let size = 1; size < DOCUMENT.length; size++) {
    const root = json(DOCUMENT.slice(0, size), { cut: true });
    assert.equal(root.note, "cut here");
  }
  assert.equal(json('{"a": 12', { cut: true }).children?.length, 0);
  assert.equal(json('{"a": 12, "b": "x', { cut: true }).children?.length, 1);
});

test("lines of JSON are an array", () => {
  assert.deepEqual(
    json('{"a":1}\n{"a":2}\n', { many: true }).children?.map((one) => one.name),
    [0, 1],
  );
});

test("whatever is nested deep or has too many values is refused, and nothing overflows", () => {
  assert.throws(() => json("[".repeat(DEPTH + 1)), /deeper/);
  assert.throws(() => json(`[${"1,".repeat(NODES)}1]`), /more than/);
  const deep = json("[".repeat(DEPTH - 1) + "]".repeat(DEPTH - 1));
  assert.equal(written(deep).split("[").length, DEPTH);
  assert.equal(rows(deep, everything(deep)).length, DEPTH - 1);
});

test("the way to a value can be said", () => {
  const deep = member(member(json(DOCUMENT), "in"), "deep");
  assert.equal(deep && path(deep), "$.in.deep");
  const second = json('{"two words": [1, {"x": 2}]}').children?.[0]?.children?.[1]?.children?.[0];
  assert.equal(second && path(second), '$["two words"][1].x');
});

test("a closed object has its beginning in its line", () => {
  assert.equal(preview(json('{"a": "x", "b": [1]}')), '{a: "x", b: […]}');
  assert.ok(preview(json(JSON.stringify({ a: "x".repeat(500) }))).length < 120);
});

test("only what stands in open parents has a row", () => {
  const root = json('{"a": {"b": {"c": 1}}, "d": 2}');
  assert.deepEqual(
    rows(root, new Set([root])).map(({ node }) => node.name),
    [null, "a", "d"],
  );
  assert.deepEqual(
    rows(root, everything(root)).map(({ node, depth }) => [node.name, depth]),
    [
      [null, 0],
      ["a", 1],
      ["b", 2],
      ["c", 3],
      ["d", 1],
    ],
  );
});

test("at first a page or two is open, and the root whatever its size", () => {
  const big = json(`[${Array.from({ length: 1_000 }, (_, at) => `{"id": ${at}}`).join(",")}]`);
  assert.equal(rows(big, opened(big)).length, 1_001);
  const small = json(DOCUMENT);
  assert.equal(rows(small, opened(small)).length, 9);
});

test("words are found in names and values, whatever their case", () => {
  const found = matches(json('{"Tea": "x", "b": ["green TEA", "coffee"]}'), "tea");
  assert.deepEqual(found.map(path), ["$.Tea", "$.b[0]"]);
});

test("a megabyte of one value is a value", () => {
  const long = "x".repeat(1_000_000);
  assert.equal(json(JSON.stringify([long])).children?.[0]?.text.length, 1_000_000);
});

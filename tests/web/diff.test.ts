import assert from "node:assert/strict";
import { test } from "node:test";
import { lines } from "../../pysniff/web/src/call/diff/lines";
import { pairs } from "../../pysniff/web/src/call/diff/pairs";
import { DIFFERENCES, paths } from "../../pysniff/web/src/call/diff/paths";
import { json } from "../../pysniff/web/src/call/tree/json";

const signs = { same: " ", removed: "-", added: "+" };
const told = (before: string, after: string) =>
  lines([...before], [...after])
    .lines.map(({ kind, text }) => signs[kind] + text)
    .join("");

test("lines that were removed and added stand where they were", () => {
  assert.equal(told("abc", "abc"), " a b c");
  assert.equal(told("abcd", "abxd"), " a b-c+x d");
  assert.equal(told("", "ab"), "+a+b");
  assert.equal(told("ab", ""), "-a-b");
  assert.equal(told("abcabba", "cbabac").replace(/[+ -]/g, "").length, 9);
});

test("whatever differs, both texts can be had from it again", () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return seed % below;
  };
  for (let round = 0; round < 200; round++) {
    const some = () => Array.from({ length: random(12) }, () => String(random(4)));
    const [before, after] = [some(), some()];
    const found = lines(before, after).lines;
    const without = (kind: string) => found.filter((line) => line.kind !== kind).map(({ text }) => text);
    assert.deepEqual(without("added"), before);
    assert.deepEqual(without("removed"), after);
  }
});

test("what differs altogether is replaced, and that is said", () => {
  const many = (word: string) => Array.from({ length: 3_000 }, (_, at) => `${word} ${at}`);
  const { lines: found, bound } = lines(many("old"), many("new"));
  assert.equal(found.length, 6_000);
  assert.match(bound, /replaced/);
  assert.match(lines(Array(30_000).fill("x"), Array(30_000).fill("x")).bound, /first 20,000/);
});

test("header fields are compared by name, whatever its case, several of one name as one", () => {
  const before: [string, string][] = [
    ["Host", "a"],
    ["X-One", "1"],
    ["Set-Cookie", "a"],
    ["set-cookie", "b"],
  ];
  const after: [string, string][] = [
    ["host", "a"],
    ["set-cookie", "a"],
    ["X-Two", "2"],
  ];
  assert.deepEqual(pairs(before, after), [
    { name: "host", before: "a", after: "a" },
    { name: "x-one", before: "1", after: null },
    { name: "set-cookie", before: "a, b", after: "a" },
    { name: "x-two", before: null, after: "2" },
  ]);
});

test("JSON is compared by path, numbers by their digits", () => {
  const before = json('{"a": {"b": [1, 2, 3]}, "c": "x", "d": 4616471093031469056, "e": {}}');
  const after = json('{"c": "x", "a": {"b": [1, 5]}, "d": 4616471093031469057, "f": null, "e": {}}');
  assert.deepEqual(paths(before, after), {
    differences: [
      { name: "$.a.b[1]", before: "2", after: "5" },
      { name: "$.a.b[2]", before: "3", after: null },
      { name: "$.d", before: "4616471093031469056", after: "4616471093031469057" },
      { name: "$.f", before: null, after: "null" },
    ],
    more: false,
  });
  assert.deepEqual(paths(before, json("[1]")).differences.length, 1);
});

test("so many differences are shown and no more", () => {
  const list = (by: number) => json(JSON.stringify(Array.from({ length: 5_000 }, (_, at) => at + by)));
  const { differences, more } = paths(list(0), list(1));
  assert.deepEqual([differences.length, more], [DIFFERENCES, true]);
});

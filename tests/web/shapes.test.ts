import assert from "node:assert/strict";
import { test } from "node:test";
import { curve, spots } from "../../pysniff/web/src/map/shapes";

const HERE = { x: 0, y: 0, radius: 10 };
const THERE = { x: 400, y: 30, radius: 10 };
const TEXT = "http:80 5.5/s";

test("a label stands in the middle of its curve while nothing is there", () => {
  const one = curve(HERE, THERE, 0, 1);
  assert.deepEqual(spots([{ curve: one, text: TEXT }], [HERE, THERE]), [one.at(0.5)]);
});

test("labels of edges that cross stand beside each other", () => {
  const [one, other] = [
    curve(HERE, THERE, 0, 1),
    curve({ x: 200, y: -150, radius: 10 }, { x: 190, y: 180, radius: 10 }, 0, 1),
  ];
  const [first, second] = spots(
    [one, other].map((each) => ({ curve: each, text: TEXT })),
    [],
  );
  assert.ok(first && second && Math.abs(first.y - second.y) > 16);
});

test("a label that fits nowhere is drawn all the same", () => {
  const one = curve(HERE, { x: 20, y: 0, radius: 10 }, 0, 1);
  assert.equal(spots([{ curve: one, text: TEXT }], [HERE]).length, 1);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { Rate } from "../../pysniff/web/src/feed/rate";
import { below, drawn, lowest, positionAt, shows, type View } from "../../pysniff/web/src/feed/window";

const view: View = { first: 0, end: 1_000, height: 240, row: 24 };

test("at the end the last row is whole at the bottom", () => {
  const { scroll, to } = drawn(null, view);
  assert.equal(scroll, lowest(view));
  assert.equal(to, 1_000);
  assert.equal(positionAt(scroll, view), 990);
});

test("a row at the top stays there when others come above, below, or fall out", () => {
  for (const change of [{ first: -500 }, { end: 5_000 }, { first: 300 }]) {
    const now = { ...view, ...change };
    assert.equal(positionAt(drawn(400.5, now).scroll, now), 400.5);
  }
});

test("a top that fell out is the topmost there is", () => {
  assert.equal(drawn(10, { ...view, first: 700 }).scroll, 0);
});

test("only what is in the window is drawn, and some beyond", () => {
  const { from, to } = drawn(500, view);
  assert.ok(from <= 500 && from > 480 && to >= 511 && to < 530, `${from} ${to}`);
});

test("a chosen row comes into view by the shortest way", () => {
  assert.equal(shows(505, 500, view), 500);
  assert.equal(shows(499, 500, view), 499);
  assert.equal(shows(510, 500, view), 501);
  assert.equal(shows(0, 500, view), -1, "the first one with the line above it");
  assert.equal(shows(995, null, view), 990);
});

test("what is newer than the window is counted", () => {
  assert.equal(below(null, view), 0);
  assert.equal(below(500, view), 490);
  assert.equal(below(990, view), 0);
});

test("a rate is that of the last two seconds, and falls to nothing", () => {
  const rate = new Rate();
  for (let now = 10_000; now < 13_000; now += 50) rate.add(50, now);
  assert.equal(rate.per_second(13_000), 1_000);
  assert.equal(rate.per_second(16_000), 0);
});

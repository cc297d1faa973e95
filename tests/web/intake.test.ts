import assert from "node:assert/strict";
import { test } from "node:test";
import { Intake } from "../../pysniff/web/src/feed/intake";
import { Ring } from "../../pysniff/web/src/feed/ring";
import { batch, summary } from "./calls";

const now = () => 0; // time stands still: everything is taken
const calls = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => summary(from + at));

function balanced(intake: Intake): void {
  const { ring, waiting } = intake;
  assert.equal(intake.received, intake.revised + ring.count + waiting.count + intake.evicted);
}

test("calls are told once, and those that are known not again", () => {
  const intake = new Intake(new Ring(100), new Ring(100));
  intake.take(batch(calls(0, 5)), "below");
  assert.equal(intake.flush(now).calls.length, 5);
  intake.take(batch(calls(3, 8)), "below");
  assert.deepEqual(
    intake.flush(now).calls.map((one) => one.summary.id),
    ["5", "6", "7"],
  );
  assert.equal(intake.received, 8);
  balanced(intake);
});

test("each call has the nodes of its set", () => {
  const intake = new Intake(new Ring(100), new Ring(100));
  intake.take(batch(calls(0, 3), 1, [["n1"], ["n1", "n2"]]), "below");
  intake.flush(now);
  assert.deepEqual(
    [0, 1, 2].map((row) => intake.ring.at(row)?.nodes.length),
    [1, 2, 1],
  );
});

test("a frame takes what it has time for, the next ones the rest, in order", () => {
  let clock = 0;
  const ticking = () => clock++;
  const intake = new Intake(new Ring(10_000), new Ring(100));
  intake.take(batch(calls(0, 3_000)), "below");
  let done = false;
  intake.afterwards(() => {
    done = true;
  });
  let frames = 0;
  while (!intake.idle) {
    assert.equal(done, false);
    intake.flush(ticking);
    frames++;
  }
  assert.ok(frames > 5, String(frames));
  assert.equal(done, true);
  assert.equal(intake.ring.at(2_999)?.summary.id, "2999");
});

test("while rows are held new calls wait, revisions do not, and nothing is lost or doubled", () => {
  const intake = new Intake(new Ring(100), new Ring(100));
  intake.take(batch([summary("a", { state: "open" })]), "below");
  intake.flush(now);
  intake.hold(true);
  intake.take(batch([summary("a"), ...calls(0, 3)]), "below");
  assert.equal(intake.flush(now).calls.length, 4, "who listens hears of them");
  assert.equal(intake.ring.count, 1);
  assert.equal(intake.ring.at(0)?.summary.state, "closed");
  intake.take(batch(calls(1, 4)), "above"); // a page of history has some of them
  intake.flush(now);
  assert.equal(intake.waiting.count, 3);
  intake.hold(false);
  intake.take(batch(calls(4, 6)), "below");
  intake.flush(now);
  assert.equal(intake.waiting.count, 0);
  assert.deepEqual(
    Array.from({ length: intake.ring.count }, (_, row) => intake.ring.at(intake.ring.first + row)?.summary.id),
    ["3", "a", "0", "1", "2", "4", "5"],
  );
  balanced(intake);
});

test("calls that history is first to tell are below those that ended before them", () => {
  const done = (from: number, to: number) =>
    calls(from, to).map((one) => ({ ...one, completed: one.timestamp.replace("Z", "9Z") }));
  const intake = new Intake(new Ring(100), new Ring(100));
  intake.take(batch(done(3, 5)), "below");
  intake.take(batch(done(0, 8).reverse()), "above");
  intake.pageEnds();
  intake.flush(now);
  intake.take(batch(done(5, 10)), "below");
  intake.flush(now);
  const { ring } = intake;
  assert.deepEqual(
    Array.from({ length: ring.count }, (_, row) => Number(ring.at(ring.first + row)?.summary.id)),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
  balanced(intake);
});

test("what was cleared before live told it stays away, and history may show it again", () => {
  const done = (from: number, to: number) =>
    calls(from, to).map((one) => ({ ...one, completed: one.timestamp.replace("Z", "9Z") }));
  const intake = new Intake(new Ring(100), new Ring(100));
  const ids = () =>
    Array.from({ length: intake.ring.count }, (_, row) => intake.ring.at(intake.ring.first + row)?.summary.id);
  intake.take(batch(done(0, 5).reverse()), "above");
  intake.flush(now);
  intake.clearRows();
  intake.take(batch([...done(0, 5), ...done(5, 6)]), "below");
  assert.deepEqual(
    intake.flush(now).calls.map((one) => one.summary.id),
    ["5"],
  );
  balanced(intake);
  intake.take(batch(done(0, 5).reverse()), "above");
  intake.flush(now);
  assert.deepEqual(ids(), ["0", "1", "2", "3", "4", "5"]);
  balanced(intake);
  intake.clear(); // another question
  intake.take(batch(done(0, 5)), "below");
  intake.flush(now);
  assert.equal(intake.ring.count, 5);
});

test("what falls out is counted, wherever it was", () => {
  const intake = new Intake(new Ring(50), new Ring(20));
  for (let at = 0; at < 200; at += 20) {
    intake.hold(at >= 100);
    intake.take(batch(calls(at, at + 20)), "below");
    intake.flush(now);
  }
  assert.equal(intake.ring.count, 50);
  assert.equal(intake.waiting.count, 20);
  assert.equal(intake.evicted, 130);
  intake.hold(false);
  intake.flush(now);
  assert.equal(intake.ring.count, 50);
  balanced(intake);
  while (intake.ring.count) intake.ring.evict();
  assert.equal(intake.ring.bytes, 0);
  assert.equal(intake.waiting.bytes, 0);
});

test("what nobody has time for is bounded too", () => {
  const intake = new Intake(new Ring(100), new Ring(100));
  for (let at = 0; at < 60; at++) intake.take(batch(calls(at * 2_000, at * 2_000 + 2_000)), "below");
  assert.equal(intake.evicted, 20_000);
  while (!intake.idle) intake.flush(now);
  assert.equal(intake.received, 120_000);
  balanced(intake);
});

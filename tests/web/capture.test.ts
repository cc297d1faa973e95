import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Problem } from "../../pysniff/web/src/api";
import { load } from "../../pysniff/web/src/packets/capture";

const real = globalThis.fetch;
afterEach(() => {
  globalThis.fetch = real;
});

/** A section's head, an interface of Ethernet, and empty packets. */
function file(packets: number): Uint8Array {
  const words = [0x0a0d0d0a, 28, 0x1a2b3c4d, 1, 0xffffffff, 0xffffffff, 28, 1, 20, 1, 0, 20];
  for (let at = 0; at < packets; at++) words.push(6, 32, 0, 0, at, 0, 0, 32);
  return new Uint8Array(new Uint32Array(words).buffer);
}

function answers(...pieces: (Uint8Array | Error)[]): { cancelled: boolean } {
  const seen = { cancelled: false };
  const body = new ReadableStream<Uint8Array>({
    pull(stream) {
      const piece = pieces.shift();
      if (piece === undefined) stream.close();
      else if (piece instanceof Error) stream.error(piece);
      else stream.enqueue(piece);
    },
    cancel() {
      seen.cancelled = true;
    },
  });
  globalThis.fetch = async () => new Response(body);
  return seen;
}

const signal = new AbortController().signal;

test("what came before a transfer was broken off is there, and that it was", async () => {
  answers(file(3), new TypeError("network error"));
  const capture = await load("/api/pcap", signal);
  assert.equal(capture.lines.length, 3);
  assert.equal(capture.broken, true);
});

test("a whole file is neither broken nor too large", async () => {
  answers(file(2));
  const { lines, broken, more, faults } = await load("/api/pcap", signal);
  assert.deepEqual([lines.length, broken, more, faults], [2, false, false, []]);
});

test("where the page has enough, the transfer is ended", async () => {
  const seen = answers(file(20_001), file(1));
  const capture = await load("/api/pcap", signal);
  assert.equal(capture.lines.length, 20_000);
  assert.equal(capture.more, true);
  assert.equal(capture.broken, false);
  assert.equal(seen.cancelled, true);
});

test("what the hub refuses is its problem, in its words", async () => {
  const told = { status: 503, code: "busy", detail: "8 downloads go on already", hint: "wait until others end" };
  globalThis.fetch = async () => Response.json(told, { status: 503 });
  await assert.rejects(load("/api/pcap", signal), (error) => {
    assert.ok(error instanceof Problem);
    assert.deepEqual([error.status, error.message, error.hint], [503, told.detail, told.hint]);
    return true;
  });
});

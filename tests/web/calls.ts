// Calls for tests of the feed: summaries, packed and in batches as a hub sends them.
import { encode } from "../../pysniff/web/node_modules/@msgpack/msgpack";
import type { Summary } from "../../pysniff/web/src/entry";
import type { Batch } from "../../pysniff/web/src/feed/messages";
import { Chunk, type Packed } from "../../pysniff/web/src/feed/ring";

export function summary(id: string | number, changes: Partial<Summary> = {}): Summary {
  const end = { ip: "10.0.0.7", port: 80, name: "" };
  return {
    id: String(id),
    stream: "5f3a",
    protocol: "http",
    version: "1.1",
    timestamp: `2026-11-22T12:00:00.${String(id).padStart(9, "0")}Z`,
    completed: null,
    elapsed_time: 86,
    src: end,
    dst: end,
    capture_source: "file",
    tls: null,
    status: "200",
    ok: true,
    summary: `GET /${id}`,
    state: "closed",
    completeness: "complete",
    faults: [],
    request_size: 0,
    response_size: 0,
    ...changes,
  };
}

export function packed(told: Summary, number = 0, nodes: string[] = ["n1"]): Packed {
  const bytes = encode(told).slice();
  return { chunk: new Chunk(bytes), start: 0, length: bytes.length, number, nodes };
}

export function batch(calls: readonly Summary[], first = 1, nodes: string[][] = [["n1"]]): Batch {
  const entries = calls.map((one) => encode(one).slice());
  const lengths = new Uint8Array(new Uint32Array(entries.map((one) => one.length)).buffer);
  const of = new Uint8Array(new Uint16Array(calls.map((_, place) => place % nodes.length)).buffer);
  return { type: "batch", first, nodes, of, lengths, entries: new Uint8Array(Buffer.concat(entries)) };
}

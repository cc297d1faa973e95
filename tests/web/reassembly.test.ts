import assert from "node:assert/strict";
import { test } from "node:test";
import { Copies } from "../../pysniff/web/src/packets/copies";
import type { Packet } from "../../pysniff/web/src/packets/pcapng";
import {
  type Conversation,
  type Piece,
  reassemble,
  type Said,
  type Side,
} from "../../pysniff/web/src/packets/reassembly";
import { FLAGS, Peeling } from "../../pysniff/web/src/packets/terms";
import { hexRows, MOST_SHOWN, textRows, turns } from "../../pysniff/web/src/packets/transcript";

const { SYN, ACK, FIN } = FLAGS;

/** Packets of one connection, one after the other, a millisecond apart. */
class Talk {
  readonly said: Said[] = [];

  client(seq: number, text: string, flags: number = ACK, length = text.length): this {
    return this.add("client", seq, text, flags, length);
  }

  server(seq: number, text: string, flags: number = ACK, length = text.length): this {
    return this.add("server", seq, text, flags, length);
  }

  datagram(side: Side, text: string): this {
    return this.add(side, null, text, 0, text.length);
  }

  private add(side: Side, seq: number | null, text: string, flags: number, length: number): this {
    const data = new TextEncoder().encode(text);
    const { facts } = new Peeling(data);
    facts.payload = { from: 0, to: data.length, length };
    if (seq === null) facts.protocol = "UDP";
    else facts.tcp = { seq: seq >>> 0, ack: 0, flags, window: 1, length };
    const number = this.said.length + 1;
    this.said.push({ number, time: BigInt(number) * 1_000_000n, side, facts, data });
    return this;
  }

  get told(): string[] {
    return reassemble(this.said).pieces.map(words);
  }
}

function words(piece: Piece): string {
  switch (piece.kind) {
    case "data":
      return `${piece.side}: ${new TextDecoder().decode(piece.bytes)}`;
    case "gap":
      return `${piece.side} lacks ${piece.length}`;
    case "again":
      return `${piece.side} again ${piece.length}${piece.same ? "" : ", other"}`;
    case "event":
      return `${piece.side} ${piece.what}`;
  }
}

function all(conversation: Conversation, side: Side): string {
  return conversation.pieces
    .filter((piece) => piece.kind === "data" && piece.side === side)
    .map((piece) => (piece.kind === "data" ? new TextDecoder().decode(piece.bytes) : ""))
    .join("");
}

test("both ends are told in the order in which they spoke", () => {
  const talk = new Talk().client(99, "", SYN).server(499, "", SYN | ACK);
  talk
    .client(100, "GET /")
    .server(500, "200 ")
    .server(504, "OK")
    .client(105, "", FIN | ACK);
  assert.deepEqual(talk.told, [
    "client SYN",
    "server SYN",
    "client: GET /",
    "server: 200 ",
    "server: OK",
    "client FIN",
  ]);
});

test("what came out of order stands where it belongs, and when it was complete", () => {
  const talk = new Talk().client(100, "one ").client(108, "three").server(7, "meanwhile").client(104, "two ");
  assert.deepEqual(talk.told, ["client: one ", "server: meanwhile", "client: two ", "client: three"]);
});

test("what is missing is a gap with its size, and nothing is glued over it", () => {
  const talk = new Talk().client(100, "GET /").client(110, "end");
  assert.deepEqual(talk.told, ["client: GET /", "client lacks 5", "client: end"]);
  assert.deepEqual(reassemble(talk.said).missing, { client: 5, server: 0 });
});

test("behind a SYN the first byte that is missing is missing", () => {
  assert.deepEqual(new Talk().client(99, "", SYN).client(103, "T /").told, [
    "client SYN",
    "client lacks 3",
    "client: T /",
  ]);
});

test("what the capture cut off is a gap, also at the end", () => {
  assert.deepEqual(new Talk().client(100, "GET", ACK, 10).told, ["client: GET", "client lacks 7"]);
  assert.deepEqual(new Talk().client(100, "GET", ACK, 10).client(110, "end").told, [
    "client: GET",
    "client lacks 7",
    "client: end",
  ]);
});

test("a retransmission is told where it came, and whether it said the same", () => {
  const talk = new Talk().client(100, "GET /").client(100, "GET /").client(100, "PUT /").client(105, "!");
  assert.deepEqual(talk.told, ["client: GET /", "client again 5", "client again 5, other", "client: !"]);
});

test("of bytes that overlap the first ones count", () => {
  const talk = new Talk().client(104, "EFGH").client(100, "abcdefghij");
  assert.equal(all(reassemble(talk.said), "client"), "abcdEFGHij");
  assert.ok(talk.told.includes("client again 4, other"));
});

test("sequence numbers wrap", () => {
  const talk = new Talk().client(0xfffffffe, "ab").client(0, "cd").client(2, "ef");
  assert.equal(all(reassemble(talk.said), "client"), "abcdef");
  assert.deepEqual(reassemble(talk.said).missing, { client: 0, server: 0 });
});

test("any order of any cuts, with repetitions, gives the same bytes", () => {
  const text = "The quick brown fox jumps over the lazy dog, and does so again and again.";
  let state = 7;
  const random = (below: number) => {
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff;
    return state % below;
  };
  for (let round = 0; round < 300; round++) {
    const cuts: [number, number][] = [];
    for (let at = 0; at < text.length; ) {
      const size = 1 + random(9);
      cuts.push([at, size]);
      at += size;
    }
    for (let more = random(6); more > 0; more--) cuts.push([random(text.length), 1 + random(20)]);
    for (let at = cuts.length - 1; at > 0; at--) {
      const other = random(at + 1);
      [cuts[at], cuts[other]] = [cuts[other] as [number, number], cuts[at] as [number, number]];
    }
    const talk = new Talk().client(0xfffffff0, "", SYN);
    for (const [at, size] of cuts) talk.client(0xfffffff1 + at, text.slice(at, at + size));
    const conversation = reassemble(talk.said);
    assert.equal(all(conversation, "client"), text);
    assert.equal(conversation.missing.client, 0);
  }
});

test("hostile numbers end as gaps, soon", () => {
  const talk = new Talk();
  for (let at = 0; at < 3_000; at++) talk.client((at * 0x7fffffff) >>> 0, "x");
  assert.equal(reassemble(talk.said).bytes.client > 0, true);
});

test("datagrams stay one by one", () => {
  const talk = new Talk().datagram("client", "who?").datagram("client", "who?").datagram("server", "me");
  assert.deepEqual(talk.told, ["client: who?", "client: who?", "server: me"]);
  const { said } = turns(reassemble(talk.said), true);
  assert.equal(said.length, 3);
});

test("a packet seen on two interfaces is one; sent twice it is two", () => {
  const copies = new Copies();
  const { facts } = new Peeling(new Uint8Array(3));
  Object.assign(facts, { src: "10.0.0.7", dst: "10.0.0.9", srcPort: 1, dstPort: 80, protocol: "UDP" });
  facts.payload = { from: 0, to: 3, length: 3 };
  const seen = (number: number, name: string) => {
    const packet: Packet = {
      number,
      time: null,
      interface: { linktype: 1, name },
      wire: 3,
      data: new Uint8Array(3),
      comments: [],
    };
    return copies.of(packet, facts);
  };
  assert.equal(seen(1, "n1/eth0"), null);
  assert.equal(seen(2, "n1/veth7"), 1);
  assert.equal(seen(3, "n1/eth0"), null);
  assert.equal(seen(4, "n1/veth7"), 3);
});

test("one side's bytes without a gap are one turn, and a gap parts them", () => {
  const talk = new Talk().client(100, "GET ").client(104, "/").server(5, "200").client(110, "x");
  const { said } = turns(reassemble(talk.said), false);
  const shown = said.map((one) => ("kind" in one ? one.kind : `${one.side} ${new TextDecoder().decode(one.bytes)}`));
  assert.deepEqual(shown, ["client GET /", "server 200", "gap", "client x"]);
});

test("at most 2 MiB are shown, and the rest is counted", () => {
  const talk = new Talk();
  const piece = "x".repeat(60_000);
  for (let at = 0; at < 50; at++) talk.client(at * piece.length, piece);
  const { said, left } = turns(reassemble(talk.said), false);
  const shown = said.reduce((sum, one) => sum + ("kind" in one ? 0 : one.bytes.length), 0);
  assert.equal(shown, MOST_SHOWN);
  assert.equal(shown + left, 50 * piece.length);
});

test("text has one row a line, long ones more, and nothing that could turn or break a line", () => {
  const talk = new Talk().client(
    1,
    "GET / HTTP/1.1\r\nHost: \u202ea\u2028b\r\n\r\n\u0000\u001b[31m".concat("y".repeat(30)),
  );
  const { said } = turns(reassemble(talk.said), false);
  const lines = textRows(said, 20).map((row) => (row.kind === "text" ? row.text : row.kind));
  assert.deepEqual(lines, [
    "turn",
    "GET / HTTP/1.1",
    "Host: \\u202ea\\u2028b",
    "",
    "␀␛[31myyyyyyyyyyyyyy",
    "yyyyyyyyyyyyyyyy",
  ]);
  assert.equal(hexRows(said, 16).length, 1 + Math.ceil(76 / 16));
});

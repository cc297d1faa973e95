import assert from "node:assert/strict";
import { test } from "node:test";
import { type Dissection, dissect } from "../../pysniff/web/src/packets/layers";
import { Sequences } from "../../pysniff/web/src/packets/sequence";
import { info } from "../../pysniff/web/src/packets/summary";
import { type Facts, type Field, FLAGS, Peeling } from "../../pysniff/web/src/packets/terms";
import { fieldAt } from "../../pysniff/web/src/packets/tree";

const ETHERNET = "02000000000902000000000708 00";
const IPV4 = "45000041 12344000 4006 0000 0a000007 0a000009";
const TCP = "d431 0050 00000064 000001f4 a018 01f6 0000 0000";
const OPTIONS = "0101 050a 000001f8 000001fc 020405b4 030307 00";

function taken(text: string, linktype = 1, more = 0): Dissection & { data: Uint8Array } {
  const data = Buffer.from(text.replaceAll(/\s/g, ""), "hex");
  return { ...dissect({ data, wire: data.length + more, interface: { linktype, name: "" } }), data };
}

function found(layers: readonly Field[], ...names: string[]): Field {
  const [name, ...rest] = names;
  const field = layers.find((one) => one.name === name);
  assert.ok(field, `${name} in ${layers.map((one) => one.name)}`);
  return rest.length ? found(field.fields, ...rest) : field;
}

test("a packet is taken apart, and each field knows its bytes", () => {
  const { layers, facts, data } = taken(`${ETHERNET}${IPV4}${TCP}${OPTIONS} 474554202f`);
  assert.deepEqual(
    layers.map((layer) => layer.name),
    ["Ethernet", "IPv4", "TCP", "Payload"],
  );
  assert.equal(found(layers, "Ethernet").value, "02:00:00:00:00:07 → 02:00:00:00:00:09");
  assert.equal(found(layers, "IPv4", "Source").value, "10.0.0.7");
  const seq = found(layers, "TCP", "Sequence number");
  assert.equal(Buffer.from(data.subarray(seq.from, seq.to)).readUInt32BE(), 100);
  const options = found(layers, "TCP").fields.filter((field) => field.name === "Option");
  assert.deepEqual(
    options.map((option) => option.value),
    ["nothing", "nothing", "SACK 504–508", "MSS 1460", "window scale 7: times 128", "end"],
  );
  assert.deepEqual(facts.tcp, { seq: 100, ack: 500, flags: FLAGS.ACK | FLAGS.PSH, window: 502, length: 5 });
  const { payload } = facts;
  assert.equal(Buffer.from(data.subarray(payload?.from, payload?.to)).toString(), "GET /");
});

test("a byte leads to the innermost field that has it", () => {
  const { layers } = taken(`${ETHERNET}${IPV4}${TCP}${OPTIONS} 474554202f`);
  assert.equal(fieldAt(layers, 0)?.name, "Destination");
  assert.equal(fieldAt(layers, 22)?.name, "Time to live");
  assert.equal(fieldAt(layers, 34 + 4)?.name, "Sequence number");
  assert.equal(fieldAt(layers, 34 + 41)?.name, "Payload");
  assert.equal(fieldAt(layers, 1_000), null);
});

test("sequence numbers are counted from the SYN, or so that the first is 1", () => {
  const sequences = new Sequences();
  const facts = (seq: number, ack: number, flags: number, back = false): Facts => {
    const { facts } = new Peeling(new Uint8Array());
    const [src, dst] = back ? ["b", "a"] : ["a", "b"];
    return Object.assign(facts, { src, dst, srcPort: 1, dstPort: 1, tcp: { seq, ack, flags, window: 0, length: 0 } });
  };
  assert.deepEqual(sequences.bases(facts(100, 0, FLAGS.SYN)), { seq: 100, ack: 0 });
  assert.deepEqual(sequences.bases(facts(700, 101, FLAGS.SYN | FLAGS.ACK, true)), { seq: 700, ack: 100 });
  assert.deepEqual(sequences.bases(facts(101, 701, FLAGS.ACK)), { seq: 100, ack: 700 });
  const joined = new Sequences();
  assert.deepEqual(joined.bases(facts(0, 0, FLAGS.ACK)), { seq: 0xffffffff, ack: 0xffffffff });
});

test("the list's line says flags, numbers and what was said", () => {
  const { facts, data } = taken(`${ETHERNET}${IPV4}${TCP}${OPTIONS} 474554202f`);
  assert.equal(info(facts, data, { seq: 99, ack: 499 }), "PSH ACK seq=1 len=5 ack=1 win=502  GET /");
});

test("tags, cooked captures, loopback and raw IP lead to the same datagram", () => {
  const datagram = "4500001f 00000000 4011 0000 0a000007 0a000002 c000 0035 000b 0000 616263";
  const ways: [string, number][] = [
    [`020000000009020000000007 88a8 0064 8100 2007 0800 ${datagram}`, 1],
    [`0004 0001 0006 020000000007 0000 0800 ${datagram}`, 113],
    [`0800 0000 00000003 0001 04 06 020000000007 0000 ${datagram}`, 276],
    [`02000000 ${datagram}`, 0],
    [`00000002 ${datagram}`, 108],
    [datagram, 101],
    [datagram, 228],
  ];
  for (const [text, linktype] of ways) {
    const { facts, data, layers } = taken(text, linktype);
    const { from = 0, to = 0 } = facts.payload ?? {};
    assert.equal(Buffer.from(data.subarray(from, to)).toString(), "abc", `link type ${linktype}`);
    assert.deepEqual([facts.src, facts.srcPort, facts.dst, facts.dstPort], ["10.0.0.7", 49152, "10.0.0.2", 53]);
    assert.equal(layers.at(-1)?.name, "Payload");
  }
});

test("extension headers of IPv6 are passed, and a fragment's later parts have no ports", () => {
  const ends = "20010db8000000000000000000000007 20010db8000000000000000000000009";
  const udp = "c000 0035 000b 0000 616263";
  const options = taken(`60000000 001b 00 40 ${ends} 3c00010400000000 1100010400000000 ${udp}`, 229);
  assert.equal(options.facts.srcPort, 49152);
  assert.equal(options.facts.src, "2001:db8::7");
  const later = taken(`60000000 0010 2c 40 ${ends} 11000011 00000001 6162636465666768`, 229);
  assert.equal(later.facts.fragment, true);
  assert.equal(later.facts.srcPort, null);
  assert.equal(later.layers.at(-1)?.name, "Fragment");
});

test("padding of a short frame is no payload", () => {
  const { facts, layers } = taken(
    `${ETHERNET}45000028 00000000 4006 0000 0a000007 0a000009 d43100500000006400000000501001f600000000 000000000000`,
  );
  assert.equal(facts.tcp?.length, 0);
  assert.equal(layers.at(-1)?.name, "Trailer");
  assert.equal(layers.at(-1)?.value, "6 bytes behind the end");
});

test("what the capture cut is counted, not made up", () => {
  const { facts, layers } = taken(
    `${ETHERNET}45000064 00000000 4006 0000 0a000007 0a000009 d43100500000006400000000501001f600000000 4142`,
    1,
    58,
  );
  assert.equal(facts.tcp?.length, 60);
  assert.equal(layers.at(-1)?.value, "2 of 60 bytes: the capture cut the rest");
});

test("what nobody knows is shown as bytes, with its name", () => {
  assert.equal(taken(`020000000009020000000007 0806 0001`).layers.at(-1)?.name, "ARP");
  assert.equal(taken("01020304", 147).layers[0]?.name, "link type 147");
  assert.equal(taken(`${ETHERNET}45000018 00000000 402f 0000 0a000007 0a000009 00000800`).layers.at(-1)?.name, "GRE");
});

test("whatever is in a packet, its fields stay in it and in each other", () => {
  const whole = Buffer.from(`${ETHERNET}${IPV4}${TCP}${OPTIONS}474554202f`.replaceAll(/\s/g, ""), "hex");
  const check = (fields: readonly Field[], from: number, to: number) => {
    for (const field of fields) {
      assert.ok(
        from <= field.from && field.from <= field.to && field.to <= to,
        `${field.name} ${field.from}–${field.to}`,
      );
      check(field.fields, field.from, field.to);
    }
  };
  let state = 3;
  const random = (below: number) => {
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff;
    return (state >> 8) % below;
  };
  for (let round = 0; round < 5_000; round++) {
    const data = Buffer.from(whole.subarray(0, random(whole.length + 1)));
    for (let more = random(5); more > 0 && data.length; more--) data[random(data.length)] = random(256);
    const linktype = [0, 1, 12, 108, 113, 228, 229, 276][random(8)] ?? 1;
    const { layers, facts } = dissect({ data, wire: data.length + random(40), interface: { linktype, name: "" } });
    check(layers, 0, data.length);
    assert.ok((facts.payload?.to ?? 0) <= data.length);
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { Pcapng } from "../../pysniff/web/src/packets/pcapng";

/** Writes pcapng in either byte order. */
class Writer {
  private readonly parts: Buffer[] = [];

  constructor(private readonly little = true) {}

  u16(value: number): Buffer {
    const two = Buffer.alloc(2);
    if (this.little) two.writeUInt16LE(value);
    else two.writeUInt16BE(value);
    return two;
  }

  u32(value: number): Buffer {
    const four = Buffer.alloc(4);
    if (this.little) four.writeUInt32LE(value);
    else four.writeUInt32BE(value);
    return four;
  }

  i64(value: bigint): Buffer {
    const eight = Buffer.alloc(8);
    if (this.little) eight.writeBigInt64LE(value);
    else eight.writeBigInt64BE(value);
    return eight;
  }

  option(code: number, value: string | Buffer): Buffer {
    const bytes = Buffer.from(value);
    return Buffer.concat([this.u16(code), this.u16(bytes.length), bytes, Buffer.alloc(-bytes.length & 3)]);
  }

  block(kind: number, ...body: Buffer[]): this {
    const joined = Buffer.concat(body);
    const total = this.u32(joined.length + 12);
    this.parts.push(this.u32(kind), total, joined, total);
    return this;
  }

  section(...options: Buffer[]): this {
    return this.block(0x0a0d0d0a, this.u32(0x1a2b3c4d), this.u16(1), this.u16(0), Buffer.alloc(8, 255), ...options);
  }

  interface(linktype: number, ...options: Buffer[]): this {
    return this.block(1, this.u16(linktype), this.u16(0), this.u32(0), ...options);
  }

  packet(at: number, ticks: bigint, data: string, ...options: Buffer[]): this {
    const bytes = Buffer.from(data);
    const time = [this.u32(Number(ticks >> 32n)), this.u32(Number(ticks & 0xffffffffn))];
    const padding = Buffer.alloc(-bytes.length & 3);
    return this.block(
      6,
      this.u32(at),
      ...time,
      this.u32(bytes.length),
      this.u32(bytes.length + 5),
      bytes,
      padding,
      ...options,
    );
  }

  get bytes(): Buffer {
    return Buffer.concat(this.parts);
  }
}

function read(bytes: Uint8Array, step = bytes.length || 1, limits?: { packets: number; bytes: number }): Pcapng {
  const file = new Pcapng(limits);
  for (let at = 0; at < bytes.length; at += step) file.push(bytes.subarray(at, at + step));
  file.end();
  return file;
}

function whole(little = true): Writer {
  const writer = new Writer(little);
  return writer
    .section(writer.option(1, "filter: http"), writer.option(1, "nodes: n1"))
    .interface(1, writer.option(2, "n1/eth0"), writer.option(9, Buffer.from([9])))
    .interface(101, writer.option(2, "n2"), writer.option(14, writer.i64(5n)))
    .block(4, writer.u16(1), writer.u16(12), Buffer.from("\x0a\x00\x00\x09shop.te\0", "latin1"), Buffer.alloc(4))
    .block(0x0bad, Buffer.from("who knows"), Buffer.alloc(3))
    .packet(0, 1_795_318_996_352_648_123n, "hello", writer.option(1, "n1.aa.01 GET /"), writer.option(0, ""))
    .packet(1, 7n, "raw")
    .block(5, writer.u32(0), Buffer.alloc(8), writer.option(1, "packets of n1 are missing from here on"));
}

for (const little of [true, false]) {
  test(`a file of ${little ? "little" : "big"} endian is read whatever its pieces`, () => {
    const { bytes } = whole(little);
    for (const step of [1, 3, 7, 64, bytes.length]) {
      const file = read(bytes, step);
      assert.deepEqual(file.faults, []);
      assert.deepEqual(file.comments, ["filter: http", "nodes: n1"]);
      assert.deepEqual(file.notes, ["packets of n1 are missing from here on"]);
      assert.deepEqual([...file.names], [["10.0.0.9", "shop.te"]]);
      const [first, second] = file.packets;
      assert.equal(first?.time, 1_795_318_996_352_648_123n);
      assert.deepEqual(first?.comments, ["n1.aa.01 GET /"]);
      assert.equal(Buffer.from(first?.data ?? []).toString(), "hello");
      assert.equal(first?.wire, 10);
      assert.equal(first?.interface.name, "n1/eth0");
      assert.equal(second?.interface.linktype, 101);
      // Microseconds where nothing is said, behind an offset of seconds.
      assert.equal(second?.time, 5_000_007_000n);
    }
  });
}

test("powers of two are a resolution, too", () => {
  const writer = new Writer();
  const { bytes } = writer
    .section()
    .interface(1, writer.option(9, Buffer.from([0x80 | 1])))
    .packet(0, 3n, "x");
  assert.equal(read(bytes).packets[0]?.time, 1_500_000_000n);
});

test("a file that ends in the middle of a block says so, and keeps what came before", () => {
  const { bytes } = whole();
  const file = read(bytes.subarray(0, bytes.length - 5));
  assert.equal(file.packets.length, 2);
  assert.match(file.faults[0] ?? "", /ends in the middle of a block/);
});

test("what is no pcapng is said to be none", () => {
  assert.match(read(Buffer.from("<!doctype html><title>no</title>")).faults[0] ?? "", /it is no pcapng/);
  assert.match(read(Buffer.alloc(0)).faults[0] ?? "", /is empty/);
});

test("lengths that lie are faults, and what can be read is read", () => {
  const writer = new Writer().section().interface(1);
  writer.block(6, writer.u32(0), Buffer.alloc(8), writer.u32(1_000_000), writer.u32(9), Buffer.from("abcd"));
  writer.block(6, writer.u32(77), Buffer.alloc(8), writer.u32(4), writer.u32(4), Buffer.from("efgh"));
  writer.block(6, Buffer.alloc(4));
  const file = read(writer.bytes);
  assert.deepEqual(
    file.packets.map((packet) => Buffer.from(packet.data).toString()),
    ["abcd", "efgh"],
  );
  assert.equal(file.packets[1]?.time, null);
  assert.equal(file.faultCount, 3);
  for (const length of [0, 11, 13, 0xfffffffc]) {
    const lying = Buffer.concat([new Writer().section().bytes, writer.u32(6), writer.u32(length), Buffer.alloc(40)]);
    const broken = read(lying);
    assert.equal(broken.faultCount, 1);
    assert.equal(broken.full, true);
  }
});

test("beyond its bounds nothing is kept, and it says that it is full", () => {
  const writer = new Writer().section().interface(1);
  for (let at = 0; at < 50; at++) writer.packet(0, BigInt(at), "x".repeat(100));
  const few = read(writer.bytes, 1_000, { packets: 10, bytes: 1 << 20 });
  assert.equal(few.packets.length, 10);
  assert.equal(few.full, true);
  const small = read(writer.bytes, 1_000, { packets: 100, bytes: 1_000 });
  assert.equal(small.received, 1_000);
  assert.equal(small.full, true);
  assert.deepEqual(small.faults, []);
});

test("whatever is in a file, reading it never throws", () => {
  const { bytes } = whole();
  let state = 11;
  const random = (below: number) => {
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff;
    return (state >> 8) % below;
  };
  for (let round = 0; round < 3_000; round++) {
    const broken = Buffer.from(bytes);
    for (let more = 1 + random(8); more > 0; more--) broken[random(broken.length)] = random(256);
    const file = read(broken.subarray(0, 28 + random(bytes.length)), 1 + random(200));
    assert.ok(file.faults.length <= 100);
  }
});

// Reads pcapng (draft-ietf-opsawg-pcapng) as it arrives, in pieces of any size.
//
// Nothing that a file says makes it throw: what is wrong is a fault in words, counted, and what can be read is read.
// Blocks that nobody knows are skipped, as the draft wants it. Packets point into the bytes that arrived.

import { ip } from "./ip";

export interface Interface {
  linktype: number;
  name: string;
}

export interface Packet {
  /** From 1, as in the file. */
  number: number;
  /** Nanoseconds since 1970; null where the file has no time of it. */
  time: bigint | null;
  interface: Interface;
  /** Bytes that were on the wire; `data` may be fewer. */
  wire: number;
  data: Uint8Array;
  comments: string[];
}

export interface Limits {
  packets: number;
  bytes: number;
}

/** What a page shows of one file. A comment, a name and a fault are short, and there are a hundred of each at most. */
export const LIMITS: Limits = { packets: 20_000, bytes: 16 * 1024 * 1024 };
const TOLD = 100;
const NAMES = 1_000;
/** No packet of libpcap is larger than 256 KiB, no block of the hub larger than a mebibyte. */
const LARGEST_BLOCK = 4 * 1024 * 1024;
const UNKNOWN: Interface = { linktype: -1, name: "" };

const SECTION = 0x0a0d0d0a;
const MAGIC = 0x1a2b3c4d;
const BLOCKS = { interface: 1, simple: 3, names: 4, statistics: 5, enhanced: 6 } as const;
const OPTIONS = { end: 0, comment: 1, name: 2, resolution: 9, offset: 14 } as const;

interface Clock extends Interface {
  /** Nanoseconds = ticks * numerator / denominator + offset. */
  numerator: bigint;
  denominator: bigint;
  offset: bigint;
  snaplen: number;
}

/** push() what arrives, then end(). */
export class Pcapng {
  readonly packets: Packet[] = [];
  /** By address as text. */
  readonly names = new Map<string, string>();
  /** Of the section: what was asked, and which nodes. */
  readonly comments: string[] = [];
  /** Of interfaces' statistics: the hub says there what is missing. */
  readonly notes: string[] = [];
  readonly faults: string[] = [];
  faultCount = 0;
  /** Packets that came and were not kept, by LIMITS. */
  beyond = 0;
  received = 0;
  private readonly waiting: Uint8Array[] = [];
  private waits = 0;
  private interfaces: Clock[] = [];
  private little = true;
  private begun = false;
  private broken = false;

  constructor(private readonly limits: Limits = LIMITS) {}

  /** Nothing more is taken: it holds what it may hold, or the file cannot be understood from here on. */
  get full(): boolean {
    return this.broken || this.received >= this.limits.bytes || this.beyond > 0;
  }

  push(piece: Uint8Array): void {
    if (this.broken || piece.length === 0) return;
    const room = this.limits.bytes - this.received;
    const taken = piece.length > room ? piece.subarray(0, room) : piece;
    this.received += taken.length;
    this.waiting.push(taken);
    this.waits += taken.length;
    while (!this.broken && this.waits >= 12 && this.block()) {
      // One block after the other.
    }
  }

  /** The file is told as far as it is. A stop in the middle of a block is a fault, unless it was ours. */
  end(): void {
    if (this.broken || this.full) return;
    if (this.waits > 0) this.fault(`ends in the middle of a block, ${this.waits} bytes into it`);
    else if (!this.begun) this.fault("is empty: not even the head of a section came");
  }

  fault(text: string): void {
    this.faultCount += 1;
    if (this.faults.length < TOLD) this.faults.push(text);
  }

  /** Take one block off what waits; false where it is not all there. */
  private block(): boolean {
    const head = this.front(12);
    const view = new DataView(head.buffer, head.byteOffset, head.length);
    const kind = view.getUint32(0, this.little);
    if (kind === SECTION) {
      // The byte order of a section stands behind the length of its head.
      if (view.getUint32(8, true) === MAGIC) this.little = true;
      else if (view.getUint32(8, false) === MAGIC) this.little = false;
      else return this.stop("a section's head has no byte-order magic");
    } else if (!this.begun) return this.stop("does not begin with the head of a section: it is no pcapng");
    const length = view.getUint32(4, this.little);
    if (length < 12 || length % 4 !== 0) return this.stop(`a block claims ${length} bytes, which no block has`);
    if (length > LARGEST_BLOCK) return this.stop(`a block claims ${length} bytes, more than ${LARGEST_BLOCK}`);
    if (this.waits < length) return false;
    const block = this.take(length);
    const body = new Body(block.subarray(8, length - 4), this.little);
    const again = new DataView(block.buffer, block.byteOffset + length - 4, 4).getUint32(0, this.little);
    if (again !== length) this.fault(`a block says ${length} bytes at its begin and ${again} at its end`);
    this.read(kind, body);
    return true;
  }

  private read(kind: number, body: Body): void {
    switch (kind) {
      case SECTION:
        this.begun = true;
        this.interfaces = [];
        this.options(body, 16, (code, value) => code === OPTIONS.comment && keep(this.comments, value.text()));
        break;
      case BLOCKS.interface:
        this.describe(body);
        break;
      case BLOCKS.enhanced:
        this.enhanced(body);
        break;
      case BLOCKS.simple:
        this.simple(body);
        break;
      case BLOCKS.names:
        this.resolve(body);
        break;
      case BLOCKS.statistics:
        this.options(body, 12, (code, value) => code === OPTIONS.comment && keep(this.notes, value.text()));
        break;
    }
  }

  private describe(body: Body): void {
    if (body.length < 8) this.fault("an interface's description is too short");
    const one: Clock = {
      linktype: body.length < 2 ? -1 : body.u16(0),
      snaplen: body.length < 8 ? 0 : body.u32(4),
      name: "",
      numerator: 1_000n,
      denominator: 1n,
      offset: 0n,
    };
    this.options(body, 8, (code, value) => {
      if (code === OPTIONS.name) one.name = value.text();
      else if (code === OPTIONS.resolution && value.length >= 1) [one.numerator, one.denominator] = ticks(value.u8(0));
      else if (code === OPTIONS.offset && value.length >= 8) one.offset = value.i64(0) * 1_000_000_000n;
    });
    this.interfaces.push(one);
  }

  private enhanced(body: Body): void {
    if (body.length < 20) {
      this.fault("a packet's block is too short");
      return;
    }
    const clock = this.interfaces[body.u32(0)];
    if (clock === undefined) this.fault(`a packet names interface ${body.u32(0)}, which nobody described`);
    const count = (BigInt(body.u32(4)) << 32n) | BigInt(body.u32(8));
    const time = clock ? (count * clock.numerator) / clock.denominator + clock.offset : null;
    const size = this.claimed(body.u32(12), body.length - 20);
    const comments: string[] = [];
    this.options(body, 20 + size + (-size & 3), (code, value) => {
      if (code === OPTIONS.comment) keep(comments, value.text());
    });
    this.packet(time, clock ?? UNKNOWN, body.u32(16), body.bytes(20, size), comments);
  }

  private simple(body: Body): void {
    if (body.length < 4) {
      this.fault("a packet's block is too short");
      return;
    }
    const clock = this.interfaces[0];
    if (clock === undefined) this.fault("a packet has no interface");
    const wire = body.u32(0);
    const size = Math.min(wire, clock?.snaplen || wire);
    this.packet(null, clock ?? UNKNOWN, wire, body.bytes(4, this.claimed(size, body.length - 4)), []);
  }

  private packet(time: bigint | null, on: Interface, wire: number, data: Uint8Array, comments: string[]): void {
    if (this.packets.length >= this.limits.packets) {
      this.beyond += 1;
      return;
    }
    const number = this.packets.length + 1;
    this.packets.push({ number, time, interface: on, wire: Math.max(wire, data.length), data, comments });
  }

  private resolve(body: Body): void {
    let at = 0;
    while (at + 4 <= body.length) {
      const [kind, size] = [body.u16(at), body.u16(at + 2)];
      if (kind === 0) return;
      const value = body.bytes(at + 4, size);
      if (value.length < size) {
        this.fault("a name is longer than its block");
        return;
      }
      const width = { 1: 4, 2: 16 }[kind];
      if (width !== undefined && size > width && this.names.size < NAMES) {
        const name = new TextDecoder().decode(value.subarray(width)).split("\0")[0] ?? "";
        if (name) this.names.set(ip(value.subarray(0, width)), name);
      }
      at += 4 + size + (-size & 3);
    }
  }

  private options(body: Body, from: number, told: (code: number, value: Body) => void): void {
    let at = from;
    while (at + 4 <= body.length) {
      const [code, size] = [body.u16(at), body.u16(at + 2)];
      if (code === OPTIONS.end) return;
      if (at + 4 + size > body.length) {
        this.fault("an option is longer than its block");
        return;
      }
      told(code, new Body(body.bytes(at + 4, size), this.little));
      at += 4 + size + (-size & 3);
    }
  }

  private claimed(size: number, room: number): number {
    if (size <= room) return size;
    this.fault(`a packet claims ${size} bytes where its block has room for ${room}`);
    return room;
  }

  private stop(text: string): false {
    this.fault(`${text}; what follows cannot be read`);
    this.broken = true;
    return false;
  }

  /** The first bytes of what waits, in one piece. Joined only where a piece ends too early. */
  private front(size: number): Uint8Array {
    const first = this.waiting[0] as Uint8Array;
    if (first.length >= size) return first.subarray(0, size);
    const joined = new Uint8Array(this.waits);
    let at = 0;
    for (const piece of this.waiting) {
      joined.set(piece, at);
      at += piece.length;
    }
    this.waiting.splice(0, this.waiting.length, joined);
    return joined.subarray(0, size);
  }

  private take(size: number): Uint8Array {
    const taken = this.front(size);
    const rest = (this.waiting[0] as Uint8Array).subarray(size);
    if (rest.length > 0) this.waiting[0] = rest;
    else this.waiting.shift();
    this.waits -= size;
    return taken;
  }
}

/** Numbers of a block in its section's byte order. Who reads checks `length`. */
class Body {
  private readonly view: DataView;

  constructor(
    private readonly data: Uint8Array,
    private readonly little: boolean,
  ) {
    this.view = new DataView(data.buffer, data.byteOffset, data.length);
  }

  get length(): number {
    return this.data.length;
  }

  u8(at: number): number {
    return this.view.getUint8(at);
  }

  u16(at: number): number {
    return this.view.getUint16(at, this.little);
  }

  u32(at: number): number {
    return this.view.getUint32(at, this.little);
  }

  i64(at: number): bigint {
    return this.view.getBigInt64(at, this.little);
  }

  bytes(at: number, size: number): Uint8Array {
    return this.data.subarray(at, at + size);
  }

  text(): string {
    return new TextDecoder().decode(this.data);
  }
}

function keep(list: string[], text: string): void {
  if (text && list.length < TOLD) list.push(text);
}

/** if_tsresol: a negative power of ten, or with the highest bit of two. */
function ticks(resolution: number): [numerator: bigint, denominator: bigint] {
  const power = BigInt(resolution & 0x7f);
  return [1_000_000_000n, resolution & 0x80 ? 2n ** power : 10n ** power];
}

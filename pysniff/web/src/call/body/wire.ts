// A protobuf message off the wire, without a schema, as docs/grpc.md has it: every field by number, with every reading.
// Source: protobuf.dev/programming-guides/encoding. Bounded by steps: guesses cost too.
import { group, type Node, scalar } from "../tree/node";
import { asText } from "./content";

const FIELDS = 20_000;
const DEPTH = 32;
const GUESS = 512; // bytes that cost a step, so that the same bytes are not looked at for ever
const [VARINT, FIXED64, BYTES, GROUP, GROUP_END, FIXED32] = [0, 1, 2, 3, 4, 5];

class NotWire extends Error {}

interface Steps {
  left: number;
}

/** The fields as protobuf_fields of docs/schema.json; null where the bytes are no message. */
export function protobuf(bytes: Uint8Array): Node | null {
  try {
    const reader = new Wire(bytes, { left: FIELDS }, 0);
    return reader.fields(0);
  } catch (error) {
    if (error instanceof NotWire) return null;
    throw error;
  }
}

class Wire {
  private at = 0;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly steps: Steps,
    private readonly depth: number,
  ) {}

  /** Until the end, or until the group of this number ends. */
  fields(inGroup: number): Node {
    const byNumber = new Map<string, Node[]>();
    for (;;) {
      if (this.at >= this.bytes.length) {
        if (inGroup) throw new NotWire();
        break;
      }
      if (--this.steps.left < 0) throw new NotWire();
      const tag = this.varint();
      const number = Number(tag >> 3n);
      const wire = Number(tag & 7n);
      if (number < 1 || number >= 1 << 29) throw new NotWire();
      if (wire === GROUP_END) {
        if (number !== inGroup) throw new NotWire();
        break;
      }
      const name = String(number);
      const occurrences = byNumber.get(name) ?? [];
      occurrences.push(group("object", occurrences.length, this.readings(wire, number)));
      byNumber.set(name, occurrences);
    }
    return group(
      "object",
      null,
      [...byNumber].map(([name, occurrences]) => group("array", name, occurrences)),
    );
  }

  private readings(wire: number, number: number): Node[] {
    if (wire === VARINT) {
      const value = this.varint();
      const found = [scalar("number", "varint", String(value))];
      if (value >> 63n) found.push(scalar("number", "int", String(BigInt.asIntN(64, value))));
      return found;
    }
    if (wire === FIXED64) {
      const view = this.view(8);
      const double = view.getFloat64(0, true);
      return [
        scalar("number", "fixed64", String(view.getBigUint64(0, true))),
        scalar("number", "double", String(double)),
      ];
    }
    if (wire === FIXED32) {
      const view = this.view(4);
      return [
        scalar("number", "fixed32", String(view.getUint32(0, true))),
        scalar("number", "float", single(view.getFloat32(0, true))),
      ];
    }
    if (wire === GROUP && this.depth < DEPTH) {
      const inner = new Wire(this.bytes, this.steps, this.depth + 1);
      inner.at = this.at;
      const found = inner.fields(number);
      this.at = inner.at;
      return [named(found, "group")];
    }
    if (wire !== BYTES) throw new NotWire();
    const size = Number(this.varint());
    if (size > this.bytes.length - this.at) throw new NotWire();
    const value = this.bytes.subarray(this.at, this.at + size);
    this.at += size;
    return this.ofBytes(value);
  }

  private ofBytes(value: Uint8Array): Node[] {
    const text = asText(value);
    const found = [text === null ? scalar("string", "base64", base64(value)) : scalar("string", "text", text)];
    if (!value.length || this.depth >= DEPTH) return found;
    this.steps.left -= Math.floor(value.length / GUESS);
    try {
      found.push(named(new Wire(value, this.steps, this.depth + 1).fields(0), "message"));
    } catch (error) {
      if (!(error instanceof NotWire)) throw error;
      this.steps.left--;
    }
    return found;
  }

  private varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw new NotWire();
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return BigInt.asUintN(64, value);
    }
    throw new NotWire();
  }

  private view(size: number): DataView {
    if (size > this.bytes.length - this.at) throw new NotWire();
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset + this.at, size);
    this.at += size;
    return view;
  }
}

function named(node: Node, name: string): Node {
  node.name = name;
  return node;
}

/** With as few digits as tell it from other floats of 32 bits. */
function single(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short);
  }
  return String(value);
}

function base64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

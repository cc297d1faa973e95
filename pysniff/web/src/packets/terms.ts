// The terms in which a packet is taken apart: fields with the bytes they stand in, and what the list says of it all.

/** A layer, or a field of one. `from` and `to` are its bytes in the packet as captured; they may be none. */
export interface Field {
  name: string;
  value: string;
  from: number;
  to: number;
  fields: Field[];
}

/** Numbers as on the wire; `length` is the payload as it was sent, also where fewer bytes were captured. */
export interface Tcp {
  seq: number;
  ack: number;
  flags: number;
  window: number;
  length: number;
}

export const FLAGS = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32, ECE: 64, CWR: 128, AE: 256 } as const;

export interface Facts {
  src: string;
  dst: string;
  srcPort: number | null;
  dstPort: number | null;
  /** The innermost layer that was understood: TCP, UDP, IPv4, ARP ... */
  protocol: string;
  tcp: Tcp | null;
  /** Where the payload of TCP or UDP stands, as far as it was captured, and how long it was. */
  payload: { from: number; to: number; length: number } | null;
  /** A part of a datagram: ports and payload are those of the first part alone. */
  fragment: boolean;
  /** What the list says where it is neither TCP nor UDP. */
  note: string;
}

/** What stands behind a layer: which kind, and from where to where, by what the layer's own header says. */
export interface Next {
  kind: Kind;
  at: number;
  /** As claimed; it may lie behind what was captured. */
  end: number;
}

export type Kind =
  | "ethernet"
  | "vlan"
  | "cooked"
  | "cooked2"
  | "null"
  | "loop"
  | "raw"
  | "ipv4"
  | "ipv6"
  | "tcp"
  | "udp"
  | { unknown: string };

/** One packet while it is taken apart. Reads answer 0 behind the end: who reads has asked has() before. */
export class Peeling {
  readonly layers: Field[] = [];
  readonly facts: Facts = {
    src: "",
    dst: "",
    srcPort: null,
    dstPort: null,
    protocol: "",
    tcp: null,
    payload: null,
    fragment: false,
    note: "",
  };
  private readonly view: DataView;

  constructor(readonly data: Uint8Array) {
    this.view = new DataView(data.buffer, data.byteOffset, data.length);
  }

  /** Whether these bytes are there, and belong to what is read. */
  has(at: number, size: number, end: number): boolean {
    return at + size <= Math.min(end, this.data.length);
  }

  u8(at: number): number {
    return at < this.data.length ? this.view.getUint8(at) : 0;
  }

  u16(at: number, little = false): number {
    return at + 2 <= this.data.length ? this.view.getUint16(at, little) : 0;
  }

  u32(at: number, little = false): number {
    return at + 4 <= this.data.length ? this.view.getUint32(at, little) : 0;
  }

  bytes(at: number, size: number): Uint8Array {
    return this.data.subarray(at, at + size);
  }

  layer(name: string, at: number, size: number): Layer {
    const all = this.data.length;
    const layer = new Layer(name, Math.min(at, all), Math.min(at + size, all));
    this.layers.push(layer);
    return layer;
  }

  /** A header that is not all there: its bytes, and nothing behind it. */
  cut(name: string, at: number, end: number): null {
    const size = Math.max(0, Math.min(end, this.data.length) - at);
    this.layer(name, at, size).value = `cut short after ${size} bytes`;
    this.facts.note ||= `${name}, cut short`;
    return null;
  }
}

export class Layer implements Field {
  value = "";
  readonly fields: Field[] = [];

  constructor(
    readonly name: string,
    readonly from: number,
    public to: number,
  ) {}

  field(name: string, value: string | number, at: number, size: number): Layer {
    const field = new Layer(name, at, at + size);
    field.value = String(value);
    this.fields.push(field);
    return field;
  }
}

export function hex(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, "0")}`;
}

/** A name for a number, or the number. */
export function named(names: Readonly<Record<number, string>>, value: number, digits = 0): string {
  const number = digits ? hex(value, digits) : String(value);
  return Object.hasOwn(names, value) ? `${names[value]} (${number})` : number;
}

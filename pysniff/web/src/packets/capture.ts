// Packets as the page shows them: fetched as they are made, read while they arrive, cut off where the page has enough.
import type { Endpoint } from "../entry";
import { Copies } from "./copies";
import { dissect } from "./layers";
import { type Packet, Pcapng } from "./pcapng";
import type { Said, Side } from "./reassembly";
import { Sequences } from "./sequence";
import { streamed } from "./streamed";
import type { Facts } from "./terms";
import type { Bases } from "./transport";

/** A packet with what the list says of it. Its layers are taken apart again when somebody looks at them. */
export interface Line {
  packet: Packet;
  facts: Facts;
  bases: Bases | null;
  /** The number of the packet that this one is, seen on another interface. */
  copyOf: number | null;
}

export interface Capture {
  lines: Line[];
  names: ReadonlyMap<string, string>;
  /** What the hub wrote into the file beside the packets: the question, and what is missing of it. */
  comments: string[];
  notes: string[];
  faults: string[];
  faultCount: number;
  received: number;
  /** The transfer was ended here, by the page's own bounds. */
  more: boolean;
  /** The hub broke it off: packets are missing, and `notes` mostly says why. */
  broken: boolean;
}

/** Throws Problem where the hub refuses; what breaks off later is told in the capture. */
export async function load(url: string, signal: AbortSignal): Promise<Capture> {
  const reader = await streamed(url, signal);
  const file = new Pcapng();
  let broken = false;
  try {
    while (!file.full) {
      const { done, value } = await reader.read();
      if (done) break;
      file.push(value);
    }
  } catch (error) {
    if (signal.aborted) throw error;
    broken = true;
  }
  const more = file.full && file.faultCount === 0;
  if (file.full) await reader.cancel().catch(() => undefined);
  else if (!broken) file.end();
  return { ...read(file), more, broken };
}

export function read(file: Pcapng): Omit<Capture, "more" | "broken"> {
  const sequences = new Sequences();
  const copies = new Copies();
  const lines = file.packets.map((packet): Line => {
    const { facts } = dissect(packet);
    return { packet, facts, bases: sequences.bases(facts), copyOf: copies.of(packet, facts) };
  });
  const { names, comments, notes, faults, faultCount, received } = file;
  return { lines, names, comments, notes, faults, faultCount, received };
}

/** The packets between two ends, each once, with who sent it. */
export function between(lines: readonly Line[], client: Endpoint, server: Endpoint): Said[] {
  const said: Said[] = [];
  for (const { packet, facts, copyOf } of lines) {
    if (copyOf !== null) continue;
    const side = sideOf(facts, client, server);
    if (side === null) continue;
    said.push({ number: packet.number, time: packet.time, side, facts, data: packet.data });
  }
  return said;
}

function sideOf(facts: Facts, client: Endpoint, server: Endpoint): Side | null {
  const is = (end: Endpoint, address: string, port: number | null) => end.ip === address && end.port === port;
  if (is(client, facts.src, facts.srcPort) && is(server, facts.dst, facts.dstPort)) return "client";
  if (is(server, facts.src, facts.srcPort) && is(client, facts.dst, facts.dstPort)) return "server";
  return null;
}

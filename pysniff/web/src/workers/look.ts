// A look at what there is without the filter, while nothing is shown: one small question on a connection of its own.
//
// Bounded: the newest LIMIT calls, and the first bytes of EXAMINED of them.
import { decodeMulti } from "@msgpack/msgpack";
import { bytes } from "../api";
import type { Summary } from "../entry";
import { told as decoded, type End } from "../feed/messages";
import { leave, toEntries } from "../socket";
import { hasHandshake } from "./handshake";
import { type Counters, total } from "./told";

const LIMIT = 1_000; // calls
const EXAMINED = 3; // conversations whose packets are fetched
const PATIENCE = 20_000; // milliseconds

export interface Looked {
  /** Calls in the time that is asked for, LIMIT at most; `more`: there may be others. */
  calls: number;
  more: boolean;
  protocols: ReadonlyMap<string, number>;
  /** Of `calls`: conversations that nobody recognised; how many were looked into, and begin with TLS. */
  unrecognised: number;
  examined: number;
  encrypted: number;
  /** Calls are kept of another time. */
  elsewhere: boolean;
  packets: number;
  damaged: number;
  open: number;
  oneSided: number;
  notIp: number;
  malformed: number;
}

/** Throws Problem, or Error where the hub refuses or does not answer. */
export async function look(from: string, to: string, signal: AbortSignal): Promise<Looked> {
  const { calls, figures } = await answered({ from, to, limit: LIMIT }, signal);
  const protocols = new Map<string, number>();
  for (const call of calls) protocols.set(call.protocol, (protocols.get(call.protocol) ?? 0) + 1);
  const unknown = calls.filter(({ protocol }) => protocol === "tcp" || protocol === "udp");
  const tcp = unknown.filter(({ protocol }) => protocol === "tcp").slice(0, EXAMINED);
  const begins = await Promise.all(tcp.map((call) => encrypted(call.id, signal)));
  const examined = begins.filter((one) => one !== null);
  const elsewhere =
    !calls.length && Boolean(from || to) && (await answered({ from: "", to: "", limit: 1 }, signal)).calls.length > 0;
  return {
    calls: calls.length,
    more: calls.length >= LIMIT,
    protocols,
    unrecognised: unknown.length,
    examined: examined.length,
    encrypted: examined.filter(Boolean).length,
    elsewhere,
    ...counted(figures),
  };
}

type Counted = Pick<Looked, "packets" | "damaged" | "open" | "oneSided" | "notIp" | "malformed">;

/** From the figures with which an answer ends: of each node what its worker read. */
export function counted(figures: Record<string, unknown>): Counted {
  const sum: Counted = { packets: 0, damaged: 0, open: 0, oneSided: 0, notIp: 0, malformed: 0 };
  const nodes = (figures.nodes ?? {}) as Record<string, { figures?: Record<string, unknown> }>;
  for (const { figures: one = {} } of Object.values(nodes)) {
    const ledger = (one.ledger ?? {}) as Counters;
    sum.packets += total(ledger, "packets");
    sum.damaged += typeof one.packets_damaged === "number" ? one.packets_damaged : 0;
    sum.open += total(ledger, "conversations_open");
    sum.oneSided += total(ledger, "half_open_waiting");
    sum.notIp += total(ledger, "not_ip") + total(ledger, "other_ip");
    sum.malformed += total(ledger, "malformed");
  }
  return sum;
}

interface Question {
  from: string;
  to: string;
  limit: number;
}

interface Answer {
  calls: Summary[];
  figures: Record<string, unknown>;
}

function answered({ from, to, limit }: Question, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const socket = toEntries();
    const calls: Summary[] = [];
    socket.binaryType = "arraybuffer";
    const timer = setTimeout(() => end(new Error("the hub took too long")), PATIENCE);
    const end = (outcome: End | Error) => {
      clearTimeout(timer);
      leave(socket);
      signal.removeEventListener("abort", stopped);
      if (outcome instanceof Error) reject(outcome);
      else resolve({ calls, figures: outcome.figures });
    };
    const stopped = () => end(new DOMException("nobody wants to know any more", "AbortError"));
    signal.addEventListener("abort", stopped);
    socket.onopen = () => {
      const times = Object.fromEntries(Object.entries({ from, to }).filter(([, value]) => value));
      socket.send(JSON.stringify({ filter: "", newest_first: true, limit, ...times }));
    };
    socket.onmessage = (event: MessageEvent<ArrayBuffer>) => {
      const said = decoded(event.data);
      if (said.type === "batch") for (const call of decodeMulti(said.entries)) calls.push(call as Summary);
      else if (said.type === "end") end(said);
      else if (said.type === "error") end(new Error(said.message));
    };
    socket.onclose = () => end(new Error("the hub closed the connection"));
  });
}

/** Whether a conversation begins with a TLS handshake; null where its packets cannot be had. */
async function encrypted(id: string, signal: AbortSignal): Promise<boolean | null> {
  try {
    return hasHandshake(await bytes(`/api/entries/${encodeURIComponent(id)}/pcap`, { signal }));
  } catch {
    return null; // gone meanwhile, or its node is away
  }
}

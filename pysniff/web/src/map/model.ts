// Who called whom, of the calls that this page received: counted as /api/services counts them (docs/services.md).
//
// 2,000 addresses (each with each name it had) and 5,000 edges between them are kept; calls beyond are in `beyond`.
// A name counts for calls of its address from before it was known, if that had no other: so services are made of
// addresses only when somebody asks.
import type { Call } from "../figures/arrivals";
import { count, type Tally, tally } from "../figures/tally";
import type { End, Row } from "./graph";

const ADDRESSES = 2_000;
const EDGES = 5_000;
/** Machines that are told apart; calls seen on any further one say nothing of where a service is. */
const MACHINES = 30;
const IPS = 100; // shown of one service
/** Seconds that a rate is of. */
export const WINDOW = 10;
const RING = 16;

interface Pair extends Tally {
  client: string;
  clientName: string;
  server: string;
  serverName: string;
  port: number;
  protocol: string;
  recent: Recent;
  /** Bits of the machines that saw each of its calls. */
  machines: number;
}

export class Model {
  /** Calls in the map, and those that there was no room for. */
  calls = 0;
  beyond = 0;
  /** Of each server's address, of each port, of each client: few that differ in names and protocol. */
  readonly #servers = new Map<string, Map<number, Map<string, Pair[]>>>();
  readonly #pairs: Pair[] = [];
  readonly #names = new Map<string, Set<string>>();
  #addresses = 0;
  readonly #machines: string[] = [];
  #told: readonly string[] = [];
  #toldMask = 0;

  count(call: Call, by: 1 | -1): void {
    const pair = this.#find(call) ?? (by > 0 ? this.#pair(call) : null);
    if (!pair) {
      this.beyond += by;
      return;
    }
    this.calls += by;
    count(pair, call, by);
    pair.recent.add(call.second, by);
    pair.machines &= this.#mask(call.nodes);
  }

  /** What there is, by service or by address. The rate is that of the ten seconds before `now`, or over `seconds`. */
  rows(apart: boolean, now: number, seconds: number | null): Row[] {
    const called = (ip: string) => {
      const names = this.#names.get(ip);
      return names?.size === 1 ? (names.values().next().value as string) : ip;
    };
    const ends = new Map<string, { named: boolean; ips: Set<string>; machines: number }>();
    const end = (ip: string, name: string, machines: number) => {
      const id = apart ? ip : name || called(ip);
      let found = ends.get(id);
      if (!found) {
        found = { named: id !== ip, ips: new Set(), machines: -1 };
        ends.set(id, found);
      }
      found.ips.add(ip);
      found.machines &= machines;
      return id;
    };
    const live = this.#pairs.filter((pair) => pair.calls > 0);
    const clients = live.map((pair) => end(pair.client, pair.clientName, pair.machines));
    const servers = live.map((pair) => end(pair.server, pair.serverName, pair.machines));
    const made = new Map([...ends].map(([id, { named, ips, machines }]) => [id, this.#end(id, named, ips, machines)]));
    return live.map((pair, place) => ({
      source: made.get(clients[place] as string) as End,
      target: made.get(servers[place] as string) as End,
      port: pair.port,
      protocol: pair.protocol,
      calls: pair.calls,
      errors: pair.errors,
      unanswered: pair.unanswered,
      open: pair.open,
      bytes: pair.bytes,
      rate: seconds === null ? pair.recent.until(now) / WINDOW : pair.calls / seconds,
      latency: pair.latency,
    }));
  }

  #find({ src, dst, protocol }: Call): Pair | undefined {
    const alike = this.#servers.get(dst.ip)?.get(dst.port)?.get(src.ip);
    if (!alike) return undefined;
    for (const pair of alike)
      if (pair.clientName === src.name && pair.serverName === dst.name && pair.protocol === protocol) return pair;
    return undefined;
  }

  #pair({ src, dst, protocol }: Call): Pair | null {
    if (this.#pairs.length >= EDGES || !this.#known(src.ip, src.name) || !this.#known(dst.ip, dst.name)) return null;
    const pair = {
      ...{ client: src.ip, clientName: src.name, server: dst.ip, serverName: dst.name, port: dst.port, protocol },
      ...tally(),
      recent: new Recent(),
      machines: -1,
    };
    this.#pairs.push(pair);
    const ports = this.#servers.get(dst.ip) ?? new Map<number, Map<string, Pair[]>>();
    const clients = ports.get(dst.port) ?? new Map<string, Pair[]>();
    const alike = clients.get(src.ip) ?? [];
    this.#servers.set(dst.ip, ports.set(dst.port, clients.set(src.ip, [...alike, pair])));
    return pair;
  }

  /** Whether there is room for an address with this name. */
  #known(ip: string, name: string): boolean {
    let names = this.#names.get(ip);
    if (names && (!name || names.has(name))) return true;
    if (this.#addresses >= ADDRESSES) return false;
    this.#addresses += 1;
    if (!names) {
      names = new Set();
      this.#names.set(ip, names);
    }
    if (name) names.add(name);
    return true;
  }

  #mask(nodes: readonly string[]): number {
    // Those of a batch share a few lists.
    if (nodes === this.#told) return this.#toldMask;
    let mask = 0;
    for (const node of nodes) {
      let number = this.#machines.indexOf(node);
      if (number < 0 && this.#machines.length < MACHINES) number = this.#machines.push(node) - 1;
      if (number >= 0) mask |= 1 << number;
    }
    this.#told = nodes;
    this.#toldMask = mask;
    return mask;
  }

  #end(id: string, named: boolean, ips: ReadonlySet<string>, machines: number): End {
    const sorted = [...ips].sort();
    return {
      id,
      named,
      ips: sorted.slice(0, IPS),
      ips_left_out: Math.max(0, sorted.length - IPS),
      machines: this.#machines.filter((_, number) => machines & (1 << number)),
    };
  }
}

/** Counts of the latest seconds. */
class Recent {
  readonly #counts = new Int32Array(RING);
  #newest = Number.NEGATIVE_INFINITY;

  add(second: number, by: number): void {
    if (second > this.#newest) {
      const skipped = Math.min(RING, second - this.#newest);
      for (let ago = 0; ago < skipped; ago++) this.#counts[place(second - ago)] = 0;
      this.#newest = second;
    } else if (second <= this.#newest - RING) return;
    const at = place(second);
    this.#counts[at] = (this.#counts[at] as number) + by;
  }

  /** How many there were in the WINDOW that ends with this second. */
  until(now: number): number {
    let sum = 0;
    const first = Math.max(now - WINDOW + 1, this.#newest - RING + 1);
    for (let second = first; second <= Math.min(now, this.#newest); second++)
      sum += this.#counts[place(second)] as number;
    return sum;
  }
}

function place(second: number): number {
  return ((second % RING) + RING) % RING;
}

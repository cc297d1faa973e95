// What is called: of each service's port each method and path, command, question.
//
// The first 5,000 are counted each on its own; calls of any further one count together, in `others`.

import { quoted } from "../filter/literal";
import type { Call } from "./arrivals";
import { count, type Tally, tally } from "./tally";

const MOST = 5_000;
const LONG = 512; // characters kept of what was asked

export interface Endpoint extends Tally {
  protocol: string;
  /** Name or address of the server, and whether it is a name. */
  server: string;
  named: boolean;
  port: number;
  what: string;
}

export class Endpoints {
  /** Calls of endpoints that are not kept. */
  others = 0;
  readonly #kept: Endpoint[] = [];
  /** By what is asked, then of whom: few that differ in port and protocol. */
  readonly #found = new Map<string, Map<string, Endpoint[]>>();

  get kept(): readonly Endpoint[] {
    return this.#kept;
  }

  count(call: Call, by: 1 | -1): void {
    const server = call.dst.name || call.dst.ip;
    const what = whatOf(call);
    const endpoint = this.#find(call, server, what) ?? (by > 0 ? this.#make(call, server, what) : null);
    // An open one that is taken out was in `others` if it is not here.
    if (!endpoint) {
      this.others += by;
      return;
    }
    count(endpoint, call, by);
  }

  #find({ dst, protocol }: Call, server: string, what: string): Endpoint | undefined {
    const alike = this.#found.get(what)?.get(server);
    if (!alike) return undefined;
    for (const endpoint of alike) if (endpoint.port === dst.port && endpoint.protocol === protocol) return endpoint;
    return undefined;
  }

  #make({ dst, protocol }: Call, server: string, what: string): Endpoint | null {
    if (this.#kept.length >= MOST) return null;
    const endpoint = {
      ...{ protocol, server, named: dst.name !== "", port: dst.port, what },
      ...tally(),
    };
    this.#kept.push(endpoint);
    const servers = this.#found.get(what) ?? new Map<string, Endpoint[]>();
    this.#found.set(what, servers.set(server, [...(servers.get(server) ?? []), endpoint]));
    return endpoint;
  }
}

/** A call's summary without what differs from call to call: arguments of Redis, payloads of WebSockets. */
export function whatOf({ protocol, summary }: { protocol: string; summary: string }): string {
  if (protocol === "http" || protocol === "grpc" || protocol === "dns") return summary.slice(0, LONG);
  const end = summary.indexOf(" ");
  return end < 0 ? summary.slice(0, LONG) : summary.slice(0, Math.min(end, LONG));
}

/** The clauses of a filter that let its calls through. */
export function clausesOf({ protocol, server, named, port, what }: Endpoint): string[] {
  const clauses = [`${named ? "dst.name" : "dst.ip"} == ${quoted(server)}`, `dst.port == ${port}`];
  const space = what.indexOf(" ");
  const [word, rest] = space < 0 ? [what, ""] : [what.slice(0, space), what.slice(space + 1)];
  // An escape stands for something that is not printable, and a long one was cut: no text to compare with.
  const whole = what.length < LONG && !what.includes("\\");
  switch (protocol) {
    case "http":
      clauses.push("http", "!grpc", `method == ${quoted(word)}`);
      if (whole) clauses.push(rest.startsWith("/") ? `path == ${quoted(rest)}` : urlOf(rest));
      break;
    case "grpc": {
      const slash = what.lastIndexOf("/");
      clauses.push("grpc");
      if (whole && slash > 0)
        clauses.push(
          `grpc_service == ${quoted(what.slice(0, slash))}`,
          `grpc_method == ${quoted(what.slice(slash + 1))}`,
        );
      break;
    }
    case "dns":
      clauses.push("dns");
      if (whole && rest && !rest.includes(" "))
        clauses.push(`${quoted(rest)} in dns_questions`, `${quoted(word)} in dns_question_types`);
      break;
    case "redis":
      clauses.push(`redis_command == ${quoted(word)}`);
      break;
    case "ws":
      clauses.push(`ws_opcode == ${quoted(word)}`);
      break;
    default:
      clauses.push(`protocol == ${quoted(protocol)}`);
  }
  return clauses;
}

function urlOf(text: string): string {
  return `url.startsWith(${quoted(text)})`;
}

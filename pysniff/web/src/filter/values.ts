// Values that were seen in the traffic, for completion: what summaries tell of some variables, how often each.
//
// Of a frame's calls SAMPLE are looked at: frequencies need no more, and thousands a second cost nothing.
import type { Summary } from "../entry";
import { listen, type Seen } from "../feed/store";
import { Tally } from "./tally";

const SAMPLE = 100;
const LONGEST = 160; // characters: nobody chooses longer ones from a list

type Value = string | number;
const tallies = new Map<string, Tally<Value>>();

export function seen(variable: string): { value: Value; count: number }[] {
  return tallies.get(variable)?.top() ?? [];
}

export function begin(): () => void {
  return listen(look);
}

export function look(calls: readonly Seen[]): void {
  const step = Math.max(1, Math.floor(calls.length / SAMPLE));
  for (let at = 0; at < calls.length; at += step) {
    const call = calls[at];
    if (!call) continue;
    for (const [variable, value] of said(call)) {
      if (value === "" || (typeof value === "string" && value.length > LONGEST)) continue;
      const tally = tallies.get(variable) ?? new Tally<Value>();
      tally.add(value);
      tallies.set(variable, tally);
    }
  }
}

function* said({ summary, nodes }: Seen): Iterable<[variable: string, value: Value]> {
  const { src, dst, protocol } = summary;
  yield ["protocol", protocol];
  yield ["src.ip", src.ip];
  yield ["dst.ip", dst.ip];
  yield ["src.name", src.name];
  yield ["dst.name", dst.name];
  yield ["dst.port", dst.port];
  yield ["state", summary.state];
  yield ["completeness", summary.completeness];
  yield ["capture_source", summary.capture_source];
  if (nodes[0]) yield ["node_id", nodes[0]];
  yield* byProtocol(summary);
}

/** What the line of a call begins with: "GET /cart", "shop.Stock/Find", "HSET cart:7". */
function* byProtocol({ protocol, version, status, summary }: Summary): Iterable<[variable: string, value: Value]> {
  const [first = "", second = ""] = summary.split(" ", 2);
  if (protocol === "http") {
    yield ["method", first];
    if (second.startsWith("/")) yield ["path", second.split("?", 1)[0] ?? ""];
    yield ["http_version", version];
    if (/^[1-9][0-9]{2}$/.test(status)) yield ["status_code", Number(status)];
  } else if (protocol === "grpc") {
    const at = first.lastIndexOf("/");
    if (at > 0) yield ["grpc_service", first.slice(0, at)];
    if (at > 0) yield ["grpc_method", first.slice(at + 1)];
  } else if (protocol === "redis") {
    yield ["redis_command", first];
    if (second && !/^['"]/.test(second)) yield ["redis_key", second];
  } else if (protocol === "ws") {
    yield ["ws_opcode", first];
  }
}

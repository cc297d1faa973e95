// The columns of the list: what each shows of a call, and the filter that a value of it stands for.
import type { ComponentChildren } from "preact";
import type { Summary, Tls } from "../entry";
import type { Scalar } from "../filter/clauses";
import { clock, duration, size } from "../format";
import type { Seen } from "./ring";

export interface Column {
  name: string;
  /** The class of its cells, behind "of-". */
  key: string;
  title?: string;
  shown(seen: Seen): ComponentChildren;
  /** Classes of a cell, beside its key. */
  look?(summary: Summary): string;
  hint?(seen: Seen): string;
  asks?(seen: Seen): [variable: string, value: Scalar] | null;
}

const PROTOCOLS = new Set(["http", "grpc", "ws", "dns", "redis", "tlsx"]);
const FAULTS: Record<string, string> = {
  gap: "packets of it are missing",
  malformed: "something in it is malformed",
  unanswered: "no answer was seen",
  unrequested: "an answer without its request",
  truncated: "it was cut short",
  midstream: "it had begun before the capture",
  inferred: "what it is was inferred",
  overlap: "packets contradict each other",
};
// Protocols whose summary begins with what is done.
const VERBS: Record<string, string> = { http: "method", redis: "redis_command", dns: "", ws: "", tlsx: "" };

const SLOW = 1_000_000; // microseconds
const DRAWN = 500; // characters of a summary: no window is wider

export const COLUMNS: readonly Column[] = [
  {
    name: "Time",
    key: "time",
    shown: ({ summary }) => clock(summary.timestamp),
    hint: ({ summary }) => summary.timestamp,
  },
  {
    name: "Protocol",
    key: "protocol",
    shown: ({ summary }) => summary.protocol,
    look: ({ protocol }) => (PROTOCOLS.has(protocol) ? protocol : "other"),
    hint: ({ summary }) => [summary.protocol, summary.version].join(" ").trim(),
    asks: ({ summary }) => ["protocol", summary.protocol],
  },
  {
    name: "Status",
    key: "status",
    shown: ({ summary }) => summary.status + (summary.state === "open" ? "…" : "") || "–",
    look: (summary) => `was-${outcome(summary)}`,
    hint: ({ summary }) => outcomeInWords(summary),
    asks: ({ summary }) => asksStatus(summary),
  },
  {
    name: "Method",
    key: "method",
    shown: ({ summary }) => verb(summary),
    asks: ({ summary }) => {
      const variable = VERBS[summary.protocol];
      return variable && verb(summary) ? [variable, verb(summary)] : null;
    },
  },
  {
    name: "Summary",
    key: "summary",
    shown: ({ summary }) => rest(summary).slice(0, DRAWN) || "–",
    hint: ({ summary }) => summary.summary.slice(0, DRAWN),
    asks: ({ summary }) => asksWhat(summary),
  },
  {
    name: "Source",
    key: "src",
    shown: ({ summary }) => summary.src.name || summary.src.ip,
    hint: ({ summary }) => address(summary.src),
    asks: ({ summary }) => ["src.ip", summary.src.ip],
  },
  {
    name: "Destination",
    key: "dst",
    shown: ({ summary }) => (
      <>
        {summary.dst.name || summary.dst.ip}
        <span class="port">:{summary.dst.port}</span>
      </>
    ),
    hint: ({ summary }) => address(summary.dst),
    asks: ({ summary }) => ["dst.ip", summary.dst.ip],
  },
  {
    name: "Latency",
    key: "latency",
    title: "From the first byte of the request to the last of the response",
    shown: ({ summary }) => (summary.state === "open" ? "…" : duration(summary.elapsed_time)),
    look: ({ elapsed_time }) => (elapsed_time !== null && elapsed_time >= SLOW ? "slow" : ""),
  },
  {
    name: "Sent",
    key: "sent",
    title: "Bytes of the request's body as it was sent",
    shown: ({ summary }) => bytes(summary.request_size),
  },
  {
    name: "Received",
    key: "got",
    title: "Bytes of the response's body as it was sent",
    shown: ({ summary }) => bytes(summary.response_size),
  },
  {
    name: "Node",
    key: "node",
    shown: ({ nodes }) => sorted(nodes).join(" "),
    hint: ({ nodes }) => `seen by ${sorted(nodes).join(", ")}`,
    asks: ({ nodes }) => (nodes[0] === undefined ? null : ["node_id", nodes[0]]),
  },
  {
    name: "Marks",
    key: "marks",
    title: "Whether it came over TLS, and what is odd about it",
    shown: ({ summary }) => <Marks summary={summary} />,
    asks: ({ summary }) => (summary.completeness !== "complete" ? ["completeness", summary.completeness] : null),
  },
];

function Marks({ summary }: { summary: Summary }) {
  const words = summary.faults.map((kind) => FAULTS[kind] ?? kind).join("; ");
  return (
    <>
      {summary.tls && (
        <span class="lock" role="img" aria-label="TLS" title={decrypted(summary.tls)}>
          <svg viewBox="0 0 12 12" aria-hidden="true">
            <path d="M3 5V4a3 3 0 0 1 6 0v1h1v6H2V5zm1.4 0h3.2V4a1.6 1.6 0 0 0-3.2 0z" />
          </svg>
        </span>
      )}
      {words && (
        <span class="fault" role="img" aria-label={words} title={words}>
          <svg viewBox="0 0 12 12" aria-hidden="true">
            <path d="M6 .8 11.6 11H.4zM5.3 4.4v3.2h1.4V4.4zm0 4v1.4h1.4V8.4z" />
          </svg>
        </span>
      )}
    </>
  );
}

function decrypted(tls: Tls): string {
  const words = ["TLS", tls.version, tls.sni && `for ${tls.sni}`].filter(Boolean).join(" ");
  return tls.key_source === "plaintext" ? `${words}, read in the program` : `${words}, decrypted`;
}

/** A word for how it ended: also the colour of its status. */
export function outcome(summary: Summary): "open" | "moved" | "bad" | "warn" | "good" | "none" {
  if (summary.state === "open") return "open";
  if (summary.faults.includes("unanswered")) return "warn";
  const code = summary.protocol === "http" ? summary.status[0] : "";
  if (code === "1" || code === "3") return "moved";
  if (code === "4") return "warn";
  if (summary.ok) return "good";
  return summary.status ? "bad" : "none";
}

function outcomeInWords(summary: Summary): string {
  if (summary.state === "open") return summary.status ? "answered so far, and still open" : "still open";
  if (summary.faults.includes("unanswered")) return "no answer was seen";
  return summary.ok ? "answered, and it reports success" : "not answered with success";
}

function asksStatus({ protocol, status }: Summary): [string, Scalar] | null {
  if (protocol === "http" && /^\d{3}$/.test(status)) return ["status_code", Number(status)];
  return null;
}

function asksWhat(summary: Summary): [string, Scalar] | null {
  if (summary.protocol === "http" && verb(summary)) return ["path", path(rest(summary))];
  const method = /^[^ /]+\/([^ /]+)$/.exec(summary.summary)?.[1];
  if (summary.protocol === "grpc" && method) return ["grpc_method", method];
  return null;
}

/** GET of "GET /cart"; empty where the summary does not begin with one. */
function verb({ protocol, summary }: Summary): string {
  if (!(protocol in VERBS)) return "";
  const word = /^\S+/.exec(summary)?.[0] ?? "";
  return protocol === "http" && !/^[A-Z]+$/.test(word) ? "" : word;
}

function rest(summary: Summary): string {
  const word = verb(summary);
  return word ? summary.summary.slice(word.length + 1) : summary.summary;
}

/** Of a target: an absolute one has the host before it. */
function path(target: string): string {
  return target.replace(/^https?:\/\/[^/]*/, "") || "/";
}

function address(end: Summary["src"]): string {
  const at = end.ip.includes(":") ? `[${end.ip}]:${end.port}` : `${end.ip}:${end.port}`;
  return end.name ? `${end.name} ${at}` : at;
}

function bytes(number: number): string {
  return number === 0 ? "·" : size(number);
}

function sorted(nodes: readonly string[]): readonly string[] {
  return nodes.length > 1 ? [...nodes].sort() : nodes;
}

// A call as the hub tells it: docs/schema.json in full, docs/protocol.md as a summary. Times are UTC in nanoseconds,
// as text; elapsed_time is microseconds; sizes are bytes.

export interface Endpoint {
  ip: string;
  port: number;
  name: string;
}

/** The TLS that a call was read out of; texts are empty where nobody knows. */
export interface Tls {
  version: string;
  cipher_suite: string;
  alpn: string;
  sni: string;
  ja3: string;
  ja3s: string;
  ja4: string;
  resumed: boolean;
  early_data: boolean;
  key_source: string;
  [fact: string]: unknown;
}

interface Common {
  id: string;
  stream: string;
  protocol: string;
  version: string;
  timestamp: string;
  completed: string | null;
  elapsed_time: number | null;
  src: Endpoint;
  dst: Endpoint;
  capture_source: string;
  tls: Tls | null;
  status: string;
  ok: boolean;
  summary: string;
  state: "open" | "closed";
  completeness: "complete" | "gap" | "truncated" | "midstream" | "inferred";
}

/** What the feed shows of a call. `nodes` comes beside it in a batch. */
export interface Summary extends Common {
  faults: string[];
  request_size: number;
  response_size: number;
}

export interface Fault {
  kind: string;
  message: string;
  bytes: number;
}

export type Pair = [name: string, value: string];

export interface Body {
  size: number;
  encoded_size: number;
  mime_type: string;
  encoding: string;
  text?: string;
  base64?: string;
  truncated: boolean;
}

/** A half of a call: what HTTP and gRPC have is named; other protocols have fields of their own. */
export interface Message {
  method?: string;
  url?: string;
  path?: string;
  host?: string;
  query?: Pair[];
  headers?: Pair[];
  trailers?: Pair[];
  cookies?: Pair[];
  headers_size?: number;
  body?: Body;
  status?: number;
  reason?: string;
  [field: string]: unknown;
}

/** Everything about one call, from /api/entries/{id}. */
export interface Entry extends Common {
  nodes: string[];
  faults: Fault[];
  request: Message | null;
  response: Message | null;
}

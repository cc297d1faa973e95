// What /api/workers tells: every worker, whether it is there, and what it says of itself (docs/worker.md, "status").

export interface Capture {
  /** starting, capturing, restarting or closed; of a file "reading" or "finished". */
  state: string;
  /** Why it is not capturing, and the way out. */
  reason: string;
  hint?: string;
  pid: number;
  since_ns: number;
  restarts: number;
  interfaces: string[];
  /** Asked for, and waited for. */
  absent: string[];
  /** Packets of which nobody knows what became. */
  unaccounted: number;
  /** What of the cluster's own traffic is left out, as host:port. */
  excluded: string[];
  /** Of files that are read in place of a capture: their names, and how far. `reason` names them, or says what failed. */
  files?: string[];
  bytes_read?: number;
  bytes_in_all?: number;
  /** What each interface of the machine carried since it is up, captured or not. */
  carried?: Record<string, number>;
}

export interface Store {
  path: string;
  limit: number;
  bytes: number;
  segment: number;
  segments: number;
}

export interface Queries {
  /** How many of each kind run now. */
  running: Record<string, number>;
  most: number;
  answered: number;
  cancelled: number;
  refused: number;
  failed: number;
  died: number;
  untold: number;
}

export interface Link {
  address: string;
  name: string;
  state: string;
  reason: string;
}

/** Counters of the ledger by name; of some by reason. */
export type Counters = Record<string, number | Record<string, number>>;

/** A process that has a TLS library, or connections: whether its keys are read, and why not. */
export interface TracedProcess {
  pid: number;
  name: string;
  library: string;
  path: string;
  attached: boolean;
  problem: string;
  keys: number;
  /** Its connections that a key opens, and those that none does. */
  with_keys: number;
  without_keys: number;
  running: boolean;
}

/** What reads keys out of running programs. */
export interface Tracer {
  mode: string;
  state: string;
  reason: string;
  hint: string;
  pid: number;
  restarts: number;
  processes: TracedProcess[];
  unnamed: number;
  counters: Record<string, number>;
  problems: string[];
}

export interface TlsFigures {
  /** That began since the worker did, and those of them whose keys came. */
  connections: number;
  with_keys: number;
  keylogs: string[];
  store_secrets: boolean;
  tracer: Tracer | null;
}

export interface Figures {
  started_ns: number;
  now_ns: number;
  capturing: boolean;
  capture: Capture;
  ledger: Counters;
  store: Store;
  queries: Queries;
  memory: Record<string, number>;
  /** Older workers do not tell it. */
  tls?: TlsFigures;
  config_version: number;
  hubs: Link[];
  notices: string[];
}

export interface Worker {
  node: string;
  /** connected, away or refused. */
  state: string;
  reason: string;
  since: string;
  address: string;
  session: string;
  software: string;
  figures: Figures | null;
  figures_error: string;
}

export interface Told {
  workers: Worker[];
  /** Names that DNS does not know now, and why. */
  unresolved: Record<string, string>;
}

/** One counter; the sum of its reasons where it has them; 0 where it is not told. */
export function total(counters: Counters, name: string): number {
  const value = counters[name] ?? 0;
  return typeof value === "number" ? value : Object.values(value).reduce((sum, one) => sum + one, 0);
}

export function connected(workers: readonly Worker[]): Worker[] {
  return workers.filter((worker) => worker.state === "connected");
}

/** Their counters added up. */
export function together(workers: readonly Worker[]): Counters {
  const sum: Record<string, number> = {};
  for (const { figures } of workers)
    for (const name of Object.keys(figures?.ledger ?? {}))
      sum[name] = (sum[name] ?? 0) + total(figures?.ledger ?? {}, name);
  return sum;
}

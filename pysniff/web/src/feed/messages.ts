// What the hub says on /api/entries (docs/api.md, "What comes back"): one msgpack map a message.
import { decode } from "@msgpack/msgpack";

export interface Asked {
  type: "asked";
  question: number;
  filter: string;
  follow: boolean;
}

/** Entries lie packed one behind the other in `entries`; `lengths` and `of` are little-endian numbers. */
export interface Batch {
  type: "batch";
  first: number;
  nodes: string[][];
  of: Uint8Array;
  lengths: Uint8Array;
  entries: Uint8Array;
}

export interface Also {
  type: "also";
  also: [number: number, nodes: string[]][];
}

export interface Status {
  type: "status";
  node: string;
  state: string;
  severity: "info" | "warning" | "error";
  text: string;
  hint?: string;
}

export interface CaughtUp {
  type: "caught_up";
  nodes: Record<string, string>;
}

export interface Missed {
  type: "missed";
  count: number;
  why: string;
}

export interface End {
  type: "end";
  figures: Record<string, unknown>;
}

export interface Refused {
  type: "error";
  code: string;
  message: string;
  hint: string;
  line?: number;
  column?: number;
  excerpt?: string;
}

export type Told = Asked | Batch | Also | Status | CaughtUp | Missed | End | Refused;

/** What a client does not know it skips: the type may be another than these. */
export function told(data: ArrayBuffer): Told {
  return decode(data) as Told;
}

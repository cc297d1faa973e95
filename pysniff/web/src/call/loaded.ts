// Calls in full as they were fetched, the last ones at hand. The text is kept beside the entry: numbers of protobuf do
// not fit JavaScript's, and what is copied is what the hub said.
import { address, bytes, Problem } from "../api";
import type { Entry } from "../entry";
import { json, NotJson } from "./tree/json";
import { member, type Node } from "./tree/node";

export interface Full {
  entry: Entry;
  /** JSON, as the hub wrote it. */
  text: string;
  /** Bytes of each body that were asked for. */
  limit: number;
}

export const BODY = 2 ** 20;
export const LARGEST_BODY = 2 ** 21;
const CALLS = 50;
const CHARACTERS = 48 * 2 ** 20;

/** The last of them that were used, within both bounds; what is older is asked for again. */
export class Recent {
  private readonly calls = new Map<string, Full>();
  private size = 0;

  constructor(
    private readonly most = CALLS,
    private readonly room = CHARACTERS,
  ) {}

  get(id: string, limit: number): Full | null {
    const found = this.calls.get(id);
    if (!found || found.limit < limit) return null;
    this.calls.delete(id);
    this.calls.set(id, found);
    return found;
  }

  /** Without counting as use. */
  peek(id: string): Full | null {
    return this.calls.get(id) ?? null;
  }

  put(id: string, full: Full): void {
    this.drop(id);
    this.calls.set(id, full);
    this.size += full.text.length;
    for (const old of this.calls.keys()) {
      if (this.calls.size <= this.most && this.size <= this.room) break;
      this.drop(old);
    }
  }

  drop(id: string): void {
    this.size -= this.calls.get(id)?.text.length ?? 0;
    this.calls.delete(id);
  }

  get count(): number {
    return this.calls.size;
  }
}

export const recent = new Recent();

/** From the hub. Throws Problem. */
export async function load(id: string, limit: number, signal: AbortSignal): Promise<Full> {
  const url = address(`/api/entries/${encodeURIComponent(id)}`, { body_limit: limit });
  const text = new TextDecoder().decode(await bytes(url, { signal }));
  let entry: Entry;
  try {
    entry = JSON.parse(text) as Entry;
  } catch {
    throw new Problem(0, "answer", "the hub's answer is no JSON", "reload the page: the hub may be a newer one");
  }
  const full = { entry, text, limit };
  recent.put(id, full);
  return full;
}

const VALUES = 1_000_000; // of one call, which may have a thousand messages in each half
const trees = new WeakMap<Full, Node | null>();

/** The call as a tree, or a part of it, with every digit; null where it is not there, or has more values than one can look at. */
export function tree(full: Full, ...way: readonly string[]): Node | null {
  if (!trees.has(full)) trees.set(full, read(full.text));
  return way.reduce<Node | null>((node, name) => member(node, name), trees.get(full) ?? null);
}

function read(text: string): Node | null {
  try {
    return json(text, { most: VALUES });
  } catch (error) {
    if (error instanceof NotJson) return null;
    throw error;
  }
}

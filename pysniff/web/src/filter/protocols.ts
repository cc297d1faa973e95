// Protocols switched off and on: visible in the filter as `protocol != "dns"`, `protocol == "http"` or
// `protocol in [...]`, and read from there, so that the legend never says anything else than the filter.
import { conditions, oneLine } from "./clauses";
import { quoted, unquoted } from "./literal";
import { meant } from "./tokens";

/** `only`: null where all are let through but for those of `off`. `rest`: the other conditions. */
export interface Switched {
  only: ReadonlySet<string> | null;
  off: ReadonlySet<string>;
  rest: readonly string[];
}

const COLOURS = new Set(["http", "grpc", "ws", "dns", "redis", "tlsx"]);

/** The colour of a protocol, everywhere. */
export function colour(protocol: string): string {
  return `var(--${COLOURS.has(protocol) ? protocol : "other"})`;
}

export function switched(filter: string): Switched {
  let only: Set<string> | null = null;
  const off = new Set<string>();
  const rest: string[] = [];
  for (const condition of conditions(oneLine(filter))) {
    const found = about(condition);
    if (found?.off) for (const name of found.names) off.add(name);
    else if (found) only = new Set(only ? found.names.filter((name) => only?.has(name)) : found.names);
    else rest.push(condition);
  }
  return { only, off, rest };
}

/** What a condition says of protocols alone; null where it says something else. */
function about(condition: string): { names: string[]; off: boolean } | null {
  const texts = meant(condition);
  const shape = texts.map(({ kind, text }) => (kind === "string" ? "S" : text)).join(" ");
  const names = texts.flatMap(({ kind, text }) => (kind === "string" ? [unquoted(text) ?? ""] : []));
  if (shape === "protocol == S") return { names, off: false };
  if (shape === "protocol != S") return { names, off: true };
  if (/^protocol in \[ S( , S)* \]$/.test(shape)) return { names, off: false };
  return /^! \( protocol in \[ S( , S)* \] \)$/.test(shape) ? { names, off: true } : null;
}

export function isOn({ only, off }: Switched, protocol: string): boolean {
  return !off.has(protocol) && (only === null || only.has(protocol));
}

/** The filter with one protocol the other way. */
export function turned(filter: string, protocol: string): string {
  const { only, off, rest } = switched(filter);
  const names = new Set(off);
  const wanted = only && new Set(only);
  if (isOn({ only, off, rest }, protocol)) {
    // The last one that is let through: nothing would be left, so all come back.
    if (wanted) wanted.delete(protocol);
    else names.add(protocol);
  } else {
    names.delete(protocol);
    wanted?.add(protocol);
  }
  return written({ only: wanted?.size ? wanted : null, off: names, rest });
}

/** The filter with this one alone; where it is alone already, with all. */
export function alone(filter: string, protocol: string): string {
  const { only, rest } = switched(filter);
  const already = only?.size === 1 && only.has(protocol);
  return written({ only: already ? null : new Set([protocol]), off: new Set(), rest });
}

/** The filter with all protocols. */
export function all(filter: string): string {
  return written({ ...switched(filter), only: null, off: new Set() });
}

function written({ only, off, rest }: Switched): string {
  const names = [...(only ?? [])].filter((name) => !off.has(name)).map(quoted);
  const wanted =
    names.length === 1 ? [`protocol == ${names[0]}`] : names.length ? [`protocol in [${names.join(", ")}]`] : [];
  const excluded = only ? [] : [...off].map((name) => `protocol != ${quoted(name)}`);
  return [...rest, ...wanted, ...excluded].join(" && ");
}

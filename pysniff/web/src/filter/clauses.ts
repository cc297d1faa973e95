// Filters made by clicking: a clause for a value, and a clause added to a filter. What a filter says is never lost:
// the new one is `old && clause`, but for a clause that it repeats, or turns round.
import { filter } from "../address";
import { beginning, quoted, unquoted } from "./literal";
import { deeper, meant, type Token, tokens } from "./tokens";

export type Scalar = string | number | boolean;

// Of 8,192 characters that a filter may have; a longer value is asked for by how it begins.
const LONGEST = 500;

/** `variable == value` in KFL, quoted as it must be; of a bool `variable` or `!variable`. */
export function clause(variable: string, value: Scalar, exclude = false): string {
  if (typeof value === "boolean") return value !== exclude ? variable : `!${variable}`;
  if (typeof value === "number") return `${variable} ${exclude ? "!=" : "=="} ${value}`;
  if (value.length <= LONGEST) return `${variable} ${exclude ? "!=" : "=="} ${quoted(value)}`;
  return `${exclude ? "!" : ""}${variable}.startsWith(${quoted(beginning(value, LONGEST))})`;
}

/** A map's value for a key as a variable: also where the map lacks the key, so that it can be excluded. */
export function member(map: string, key: string): string {
  return `map_get(${map}, ${quoted(key)}, "")`;
}

/** Ask for that too: the filter with one more condition. */
export function add(text: string): void {
  filter.value = added(filter.value, text);
}

/** Both conditions, in one line. */
export function added(before: string, text: string): string {
  const old = oneLine(before);
  const parts = conditions(old);
  const [turned, known] = [key(opposite(text)), key(text)];
  if (parts.some((part) => key(part) === known)) return old;
  // `method == "GET"` and `method == "POST"` together let nothing through: the later click is what is meant.
  const subject = equals(text);
  const left = parts.filter((part) => key(part) !== turned && (subject === "" || equals(part) !== subject));
  return [...left, text].join(" && ");
}

/** The filter without that condition. */
export function without(before: string, text: string): string {
  const known = key(text);
  return conditions(oneLine(before))
    .filter((part) => key(part) !== known)
    .join(" && ");
}

/** What a filter asks for all together: the parts between its outermost `&&`, in brackets where they need them. */
export function conditions(text: string): string[] {
  const found = meant(text);
  const first = found[0];
  const last = found[found.length - 1];
  if (first === undefined || last === undefined) return [];
  const cuts: Token[] = [];
  let depth = 0;
  for (const token of found) {
    depth += deeper(token);
    if (depth !== 0 || token.kind !== "sign") continue;
    if (token.text === "||" || token.text === "?") return [`(${text.trim()})`];
    if (token.text === "&&") cuts.push(token);
  }
  const bounds = [...cuts.map(({ at }) => at), text.length];
  return bounds.map((end, place) => {
    const start = place ? (bounds[place - 1] ?? 0) + 2 : 0;
    return text.slice(start, end).trim();
  });
}

/** Equal for conditions that differ in spaces, comments, or the quotes around the whole. */
function key(text: string): string {
  const found = meant(text).map((token) => token.text);
  return unwrapped(found).join(" ");
}

/** Without brackets around all of it. */
function unwrapped(texts: string[]): string[] {
  if (texts[0] !== "(" || texts[texts.length - 1] !== ")") return texts;
  let depth = 0;
  for (const [place, text] of texts.entries()) {
    depth += text === "(" ? 1 : text === ")" ? -1 : 0;
    if (depth === 0 && place < texts.length - 1) return texts;
  }
  return unwrapped(texts.slice(1, -1));
}

/** Where a clause compares: its one `==` or `!=` outside of brackets; null where it does more than that. */
function comparison(found: readonly Token[]): number | null {
  let depth = 0;
  let place: number | null = null;
  for (const [at, token] of found.entries()) {
    depth += deeper(token);
    if (depth !== 0 || token.kind !== "sign") continue;
    if (/^(&&|\|\||[?:!<>]|[<>]=|in)$/.test(token.text)) return null;
    if (token.text === "==" || token.text === "!=") {
      if (place !== null) return null;
      place = at;
    }
  }
  return place;
}

/** What a clause would be the other way round. */
function opposite(text: string): string {
  const found = meant(text);
  const place = comparison(found);
  const sign = place === null ? undefined : found[place];
  if (sign) return `${text.slice(0, sign.at)}${sign.text === "==" ? "!=" : "=="}${text.slice(sign.at + 2)}`;
  return found[0]?.text === "!" ? text.slice(found[0].at + 1) : `!${text}`;
}

/** What `... == literal` is about, "" of anything else. */
function equals(text: string): string {
  const found = meant(text);
  const place = comparison(found);
  if (place === null || found[place]?.text !== "==") return "";
  const value = found.slice(place + 1).filter(({ text }) => text !== "-");
  if (value.length !== 1 || !(value[0]?.kind === "string" || value[0]?.kind === "number")) return "";
  return found
    .slice(0, place)
    .map(({ text }) => text)
    .join(" ");
}

/** The same filter without comments and line ends: for a bar of one line, and so that nothing is added to a comment. */
export function oneLine(text: string): string {
  const line = tokens(text).map(({ kind, text }) => {
    if (kind === "comment") return " ";
    if (kind === "space") return /[\r\n\t\f]/.test(text) ? " " : text;
    return kind === "string" && /[\r\n]/.test(text) ? rewritten(text) : text;
  });
  return line.join("").trim();
}

/** A string of several lines as one of one line. */
function rewritten(token: string): string {
  const text = unquoted(token);
  return text === null ? token.replaceAll("\n", "\\n").replaceAll("\r", "\\r") : quoted(text);
}

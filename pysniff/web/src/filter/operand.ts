// The value that ends at a place of a filter, and its type, as far as it can be told without parsing all of it.
import { type Language, typeName } from "./language";
import type { Token } from "./tokens";

/** `name`: its variable, "" where it is none. `whole`: a comparison that is complete, whose parts go no further. */
export interface Operand {
  type: string;
  name: string;
  whole: boolean;
}

const COMPARING = new Set(["==", "!=", "<", "<=", ">", ">=", "in"]);
const RESERVED = new Set(["in", "true", "false", "null"]);

/** Of the tokens before a place, those that readers skip left out; null where no value ends there. */
export function operandBefore(found: readonly Token[], language: Language): Operand | null {
  const part = valueEnding(found, language);
  if (!part) return null;
  const before = found[part.start - 1];
  if (before && before.kind === "sign" && COMPARING.has(before.text)) return { type: "bool", name: "", whole: true };
  if (before?.text === "!") return { type: "bool", name: "", whole: true };
  return { type: part.type, name: part.name, whole: false };
}

interface Part {
  start: number;
  type: string;
  name: string;
}

function valueEnding(found: readonly Token[], language: Language): Part | null {
  const end = found.length - 1;
  const last = found[end];
  if (!last) return null;
  const literal = (type: string): Part => ({ start: end, type, name: "" });
  if (last.kind === "string") return literal(/^[rR]?[bB]/.test(last.text) ? "bytes" : "string");
  if (last.kind === "number")
    return literal(/[uU]$/.test(last.text) ? "uint" : /[.eE]/.test(last.text) ? "double" : "int");
  if (last.kind === "name") return named(found, language);
  if (last.text === ")" || last.text === "]" || last.text === "}") return bracketed(found, language);
  return null;
}

function named(found: readonly Token[], language: Language): Part | null {
  const end = found.length - 1;
  const last = found[end]?.text ?? "";
  if (last === "true" || last === "false") return { start: end, type: "bool", name: "" };
  let start = end;
  while (found[start - 1]?.text === "." && found[start - 2]?.kind === "name") start -= 2;
  const names = found
    .slice(start)
    .filter(({ kind }) => kind === "name")
    .map(({ text }) => text);
  if (found[start - 1]?.text === ".") {
    // A field of what a call or an index gives.
    const over = valueEnding(found.slice(0, start - 1), language);
    return over && { start: over.start, type: parts(over.type)[1] ?? "dyn", name: "" };
  }
  if (names.some((name) => RESERVED.has(name))) return null;
  for (let length = names.length; length > 0; length--) {
    const name = names.slice(0, length).join(".");
    const type = language.variables.find((variable) => variable.name === name)?.type;
    if (type === undefined) continue;
    if (length === names.length) return { start, type, name };
    return { start, type: parts(type)[1] ?? "dyn", name: "" };
  }
  return { start, type: loopName(found.slice(0, start), names[0] ?? "", language) ?? "dyn", name: "" };
}

/** What `x` is in `list.exists(x, ...)`: an element, or a key. */
function loopName(before: readonly Token[], name: string, language: Language): string | null {
  for (let at = before.length - 1; at > 3; at--) {
    if (before[at]?.text !== "," || before[at - 1]?.text !== name || before[at - 2]?.text !== "(") continue;
    const macro = language.functions.some((word) => word.kind === "macro" && word.name === before[at - 3]?.text);
    const over = macro && before[at - 4]?.text === "." && valueEnding(before.slice(0, at - 4), language);
    if (over) return parts(over.type)[0] ?? "dyn";
  }
  return null;
}

function bracketed(found: readonly Token[], language: Language): Part | null {
  let open = found.length - 1;
  for (let depth = 0; open >= 0; open--) {
    const { kind, text } = found[open] as Token;
    if (kind !== "sign") continue;
    if (text === ")" || text === "]" || text === "}") depth++;
    else if ((text === "(" || text === "[" || text === "{") && --depth === 0) break;
  }
  if (open < 0) return null;
  const before = found.slice(0, open);
  const inside = found.slice(open + 1, -1);
  const sign = found[open]?.text;
  if (sign === "{") return { start: open, type: "map(dyn, dyn)", name: "" };
  if (sign === "[") {
    const over = valueEnding(before, language);
    if (over) {
      const [one, other] = parts(over.type);
      return { start: over.start, type: other ?? one ?? "dyn", name: "" };
    }
    return { start: open, type: `list(${valueEnding(inside, language)?.type ?? "dyn"})`, name: "" };
  }
  const called = before[open - 1];
  if (called?.kind !== "name" || RESERVED.has(called.text)) {
    const logic = inside.some(
      ({ kind, text }) => kind === "sign" && (COMPARING.has(text) || /^(&&|\|\||!)$/.test(text)),
    );
    return { start: open, type: logic ? "bool" : (valueEnding(inside, language)?.type ?? "dyn"), name: "" };
  }
  const over = before[open - 2]?.text === "." ? valueEnding(before.slice(0, open - 2), language) : null;
  const word = language.functions.find(
    ({ name, of }) => name === called.text && (over ? typeName(of) === typeName(over.type) : of === ""),
  );
  return { start: over?.start ?? open - 1, type: word?.gives ?? "dyn", name: "" };
}

/** The types that a type is made of: of "map(string, int)" both. */
function parts(type: string): string[] {
  const inside = /^(?:list|map)\((.*)\)$/.exec(type)?.[1];
  return inside?.split(", ") ?? [];
}

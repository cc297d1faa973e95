// What may stand at the cursor of a filter: variables, members, operators, functions, and values that were seen.
//
// Types come from the hub's own tables (GET /api/filter); nothing here knows a variable's name.

import type { Word } from "./language";
import { type Language, typeName } from "./language";
import { quoted, unquoted } from "./literal";
import { type Operand, operandBefore } from "./operand";
import { type Token, tokens } from "./tokens";

export interface Completion {
  kind: "variable" | "value" | "operator" | "function" | "word";
  /** What is shown, and beside it. */
  label: string;
  detail: string;
  meaning: string;
  /** Replaces the text between `from` and `to`; then the cursor is at `cursor`. */
  text: string;
  from: number;
  to: number;
  cursor: number;
}

/** Values of a variable that were seen in the traffic, the most frequent first. */
export type Seen = (variable: string) => readonly { value: string | number; count: number }[];

const MOST = 60;
const LONGEST_VALUE = 200;
const COMPARISONS = new Set(["==", "!=", "<", "<=", ">", ">="]);
// A row of the operators that people want first for each type; all others that fit come behind.
const FIRST = ["==", "!=", ">=", "<=", ">", "<", "in", "+", "-"];

export function complete(text: string, cursor: number, language: Language, seen: Seen): Completion[] {
  const before = tokens(text.slice(0, cursor));
  const last = before[before.length - 1];
  if (last?.kind === "comment") return [];
  if (last?.kind === "open") return inString(text, last, before.slice(0, -1), cursor, language, seen);
  const word = last?.kind === "name" ? last : null;
  const rest = significant(word ? before.slice(0, -1) : before);
  const place: Place = { typed: word?.text ?? "", from: word?.at ?? cursor, to: wordEnd(text, cursor), cursor };
  const previous = rest[rest.length - 1];
  if (previous?.text === ".") return behindDot(place, rest, language, text);
  if (last?.kind === "number" || last?.kind === "odd") return [];
  const operand = operandBefore(rest, language);
  if (operand) return following(place, operand, language, text);
  const next = ifWhole(place, rest, language, text);
  const [near, far] = operands(place, rest, language, seen);
  return [...near, ...next, ...far].filter((one) => !isThere(one, place)).slice(0, MOST);
}

/** What is typed already in full. */
function isThere({ text, from, to }: Completion, place: Place): boolean {
  return text === place.typed && from === place.from && to === place.cursor;
}

interface Place {
  typed: string;
  from: number;
  to: number;
  cursor: number;
}

function significant(found: readonly Token[]): Token[] {
  return found.filter(({ kind }) => kind !== "space" && kind !== "comment");
}

/** A completion in the middle of a word replaces all of it. */
function wordEnd(text: string, cursor: number): number {
  return cursor + (/^[_a-zA-Z0-9]*/.exec(text.slice(cursor))?.[0].length ?? 0);
}

function made(place: Place, text: string, what: Pick<Completion, "kind" | "label" | "detail" | "meaning">, back = 0) {
  const { from, to } = place;
  return { ...what, text, from, to, cursor: from + text.length - back };
}

// Operands: at the beginning, behind an operator, a bracket or a comma.

/** Those that begin with what was typed, and the others. */
function operands(place: Place, rest: readonly Token[], language: Language, seen: Seen): [Completion[], Completion[]] {
  const compared = comparedWith(rest, language);
  const typed = place.typed.toLowerCase();
  if (!compared) {
    const [near, far] = variables(place, language, () => true);
    const named = typed ? [...functions(place, language, () => true), ...words(place, ["true", "false", "null"])] : [];
    return [[...near, ...named], far];
  }
  const found: Completion[] = [];
  for (const { value, count } of compared.name ? seen(compared.name) : []) {
    const label = typeof value === "number" ? String(value) : quoted(value);
    if (label.length > LONGEST_VALUE || rank(label.replace(/^"/, ""), typed) === null) continue;
    found.push(made(place, label, { kind: "value", label, detail: "", meaning: `seen ${times(count)}` }));
  }
  if (compared.type === "bool") found.push(...words(place, ["true", "false"]));
  if (found.length === 0 && compared.type === "string" && typed === "") found.push(text(place));
  const plain = /^(string|int|bool)$/.test(compared.type) && typed === "";
  const named = plain ? [] : functions(place, language, (word) => word.gives === compared.type);
  const [near, far] = typed ? variables(place, language, ({ type }) => type === compared.type) : [[], []];
  return [[...found, ...near, ...named], far];
}

function text(place: Place): Completion {
  return made(place, '""', { kind: "word", label: '"…"', detail: "string", meaning: "text" }, 1);
}

function times(count: number): string {
  return count === 1 ? "once" : `${count.toLocaleString("en")} times`;
}

function words(place: Place, names: readonly string[]): Completion[] {
  return names
    .filter((name) => name.startsWith(place.typed.toLowerCase()))
    .map((label) => made(place, label, { kind: "word", label, detail: "", meaning: "" }));
}

/** How well a name goes with what was typed, 0 best; null not at all. */
function rank(name: string, typed: string): number | null {
  const lower = name.toLowerCase();
  if (lower.startsWith(typed)) return 0;
  const at = lower.indexOf(typed);
  if (at < 0) return null;
  return /[._]/.test(lower[at - 1] ?? "") ? 1 : 2;
}

/** Those that begin with what was typed, and those that have it elsewhere, in the order of the hub's table. */
function variables(
  place: Place,
  language: Language,
  fits: (variable: { type: string }) => boolean,
): [Completion[], Completion[]] {
  const typed = place.typed.toLowerCase();
  const ranked: Completion[][] = [[], [], [], []];
  for (const variable of language.variables) {
    if (!fits(variable)) continue;
    const about = typed.length > 2 && variable.meaning.toLowerCase().includes(typed) ? 3 : null;
    const { name: label, type: detail, meaning } = variable;
    const rows = ranked[rank(label, typed) ?? about ?? -1];
    rows?.push(made(place, label, { kind: "variable", label, detail, meaning }));
  }
  const [near = [], ...far] = ranked;
  return [near, far.flat()];
}

/** Functions that stand before their arguments, each once. */
function functions(place: Place, language: Language, wanted: (word: Word) => boolean): Completion[] {
  const found = new Map<string, Completion>();
  for (const word of language.functions) {
    if (word.kind !== "function" || found.has(word.name) || !wanted(word)) continue;
    if (!word.name.toLowerCase().startsWith(place.typed.toLowerCase())) continue;
    found.set(word.name, call(place, "", word));
  }
  return [...found.values()];
}

/** `name(...)` with the cursor between the brackets, and between quotes where text is taken. */
function call(place: Place, before: string, word: Word): Completion {
  const { signature: detail, meaning } = word;
  const macro = word.kind === "macro";
  const [arguments_, back] = macro
    ? ["(x, )", 1]
    : word.takes.length === 0
      ? ["()", 0]
      : word.takes[0] === "string"
        ? ['("")', 2]
        : ["()", 1];
  const label = `${before}${word.name}${macro ? "(x, …)" : word.takes.length ? "(…)" : "()"}`;
  return made(place, `${before}${word.name}${arguments_}`, { kind: "function", label, detail, meaning }, back);
}

/** What the value here is compared with: `method == |`, `method in [|`. */
function comparedWith(rest: readonly Token[], language: Language): Operand | null {
  const last = rest[rest.length - 1];
  if (last === undefined) return null;
  if (COMPARISONS.has(last.text)) return operandBefore(rest.slice(0, -1), language);
  if (last.text !== "[" && last.text !== ",") return null;
  const open = openBracket(rest);
  if (open < 1 || rest[open]?.text !== "[" || rest[open - 1]?.text !== "in") return null;
  return operandBefore(rest.slice(0, open - 1), language);
}

/** Place of the innermost bracket that is open at the end; -1 where none is. */
function openBracket(rest: readonly Token[]): number {
  let depth = 0;
  for (let at = rest.length - 1; at >= 0; at--) {
    const text = rest[at]?.text ?? "";
    if (rest[at]?.kind !== "sign") continue;
    if (text === ")" || text === "]" || text === "}") depth++;
    else if ((text === "(" || text === "[" || text === "{") && depth-- === 0) return at;
  }
  return -1;
}

// Operators and methods, behind an operand.

/** What may stand behind a value: operators, and where nothing is between, methods. */
function following(place: Place, operand: Operand, language: Language, text: string): Completion[] {
  const apart = /\s/.test(text[place.from - 1] ?? " ");
  const found = operators(place, operand, language, apart);
  if (apart || operand.whole) return found;
  // Texts are compared with < less often than they are looked into.
  const late = (one: Completion) => typeName(operand.type) === "string" && /^[<>+]/.test(one.label);
  const tested = methods(place, ".", operand, language);
  return [...found.filter((one) => !late(one)), ...tested, ...found.filter(late)];
}

function operators(place: Place, operand: Operand, language: Language, apart: boolean): Completion[] {
  const found = new Map<string, Completion>();
  for (const word of language.functions) {
    if (word.kind !== "operator" || found.has(word.name) || !fits(word, operand)) continue;
    const [label, text, back] = written(word.name, operand);
    if (!label.startsWith(place.typed) || (word.name === "[]" && apart)) continue;
    const before = apart || word.name === "[]" ? "" : " ";
    const what = { kind: "operator", label, detail: "", meaning: word.meaning } as const;
    found.set(word.name, made(place, before + text, what, back));
  }
  const order = operand.type === "bool" ? ["&&", "||", ...FIRST] : FIRST;
  const at = (name: string) => (order.includes(name) ? order.indexOf(name) : order.length);
  return [...found].sort(([one], [other]) => at(one) - at(other)).map(([, completion]) => completion);
}

function fits({ name, of }: Word, operand: Operand): boolean {
  if (operand.whole) return of === "bool" && !COMPARISONS.has(name);
  // A list may be an element of a list of lists; nobody means that.
  if (name === "in") return !/^(list|map|bool)/.test(operand.type);
  if (operand.type === "bool" && /[<>]/.test(name)) return false; // false is less than true, if anybody asks
  return of === "_" || (of !== "" && typeName(of) === typeName(operand.type));
}

/** How an operator is shown, what it writes, and how far from its end the cursor is. */
function written(name: string, operand: Operand): [label: string, text: string, back: number] {
  if (name === "in") return ["in […]", "in []", 1];
  if (name !== "[]") return [name, `${name} `, 0];
  return operand.type.startsWith("map") ? ["[…]", '[""]', 2] : ["[…]", "[0]", 1];
}

/** Where the word is a variable's whole name: what may follow it. */
function ifWhole(place: Place, rest: readonly Token[], language: Language, text: string): Completion[] {
  if (place.typed === "" || place.to !== place.cursor) return [];
  const operand = operandBefore([...rest, { kind: "name", text: place.typed, at: place.from }], language);
  if (!operand?.name) return [];
  const end = { typed: "", from: place.cursor, to: place.cursor, cursor: place.cursor };
  return following(end, { ...operand, whole: false }, language, text);
}

function methods(place: Place, before: string, operand: Operand, language: Language): Completion[] {
  const found = new Map<string, Completion>();
  for (const word of language.functions) {
    if ((word.kind !== "method" && word.kind !== "macro") || found.has(word.name)) continue;
    if (typeName(word.of) !== typeName(operand.type) || rank(word.name, place.typed.toLowerCase()) === null) continue;
    found.set(word.name, call(place, before, word));
  }
  return [...found.values()];
}

function behindDot(place: Place, rest: readonly Token[], language: Language, text: string): Completion[] {
  const dotted: string[] = [];
  for (let at = rest.length - 1; at > 0 && rest[at]?.text === "." && rest[at - 1]?.kind === "name"; at -= 2) {
    dotted.unshift(rest[at - 1]?.text ?? "");
  }
  const stem = dotted.length ? `${dotted.join(".")}.` : "";
  const typed = place.typed.toLowerCase();
  const members = stem
    ? language.variables
        .filter(({ name }) => name.startsWith(stem) && rank(name.slice(stem.length), typed) !== null)
        .sort(
          (one, other) =>
            (rank(one.name.slice(stem.length), typed) ?? 0) - (rank(other.name.slice(stem.length), typed) ?? 0),
        )
        .map(({ name, type: detail, meaning }) => {
          const label = name.slice(stem.length);
          return made(place, label, { kind: "variable", label, detail, meaning });
        })
    : [];
  const operand = operandBefore(rest.slice(0, -1), language);
  const found = [...members, ...(operand ? methods(place, "", operand, language) : [])];
  return [...found, ...ifWhole(place, rest, language, text)].slice(0, MOST);
}

// Inside quotes: values.

function inString(
  text: string,
  open: Token,
  before: readonly Token[],
  cursor: number,
  language: Language,
  seen: Seen,
): Completion[] {
  const rest = significant(before);
  const compared = comparedWith(rest, language) ?? argumentOf(rest, language);
  if (!compared?.name) return [];
  const quote = open.text[0] === "'" ? "'" : '"';
  const typed = (unquoted(`${open.text}${quote}`) ?? open.text.slice(1)).toLowerCase();
  // Up to the quote that ends it, where there is one in what follows.
  const end = /^[^"'\\\r\n]*["']/.exec(text.slice(cursor))?.[0].length ?? 0;
  const place = { typed, from: open.at, to: cursor + end, cursor };
  return seen(compared.name)
    .map(({ value, count }) => ({ label: quoted(String(value)), value: String(value), count }))
    .filter(({ label, value }) => label.length <= LONGEST_VALUE && rank(value, typed) !== null)
    .map(({ label, count }) =>
      made(place, label, { kind: "value", label, detail: "", meaning: `seen ${times(count)}` }),
    )
    .slice(0, MOST);
}

/** Of `path.startsWith("|`: path. */
function argumentOf(rest: readonly Token[], language: Language): Operand | null {
  const [dot, method, bracket] = rest.slice(-3);
  if (bracket?.text !== "(" || method?.kind !== "name" || dot?.text !== ".") return null;
  return operandBefore(rest.slice(0, -3), language);
}

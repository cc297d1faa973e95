// A filter's text as tokens, as pysniff/kfl/lexer.py cuts it. Every character is in one: what is unfinished or odd too.

export type Kind = "space" | "comment" | "string" | "open" | "number" | "name" | "quoted" | "sign" | "odd";

/** `at`: offset of its first character, in UTF-16 units as all of JavaScript's. "open": a string without an end. */
export interface Token {
  kind: Kind;
  text: string;
  at: number;
}

const TOKEN = new RegExp(
  [
    String.raw`(?<space>[ \t\r\n\f]+)`,
    String.raw`(?<comment>//[^\n]*)`,
    String.raw`(?<string>[bB]?[rR](?:"""[^]*?"""|'''[^]*?'''|"[^"\r\n]*"|'[^'\r\n]*')|[bB]?(?:"""(?:[^\\]|\\[^])*?"""|'''(?:[^\\]|\\[^])*?'''|"(?:[^"\\\r\n]|\\[^])*"|'(?:[^'\\\r\n]|\\[^])*'))`,
    "(?<open>(?:[bB]?[rR]|[bB])?[\"'][^]*)",
    String.raw`(?<number>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?|0x[0-9a-fA-F]+[uU]?|[0-9]+[uU]?)`,
    "(?<name>[_a-zA-Z][_a-zA-Z0-9]*)",
    "(?<quoted>`[^`\\r\\n]+`)",
    String.raw`(?<sign>&&|\|\||[<>=!]=|[-+*/%<>!?:.,()[\]{}])`,
    "(?<odd>[^])",
  ].join("|"),
  "uy",
);

export function tokens(text: string): Token[] {
  const found: Token[] = [];
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(text); match; match = TOKEN.exec(text)) {
    const [kind] = Object.entries(match.groups ?? {}).find(([, part]) => part !== undefined) ?? ["odd"];
    const word = kind === "name" && match[0] === "in";
    found.push({ kind: word ? "sign" : (kind as Kind), text: match[0], at: match.index });
  }
  return found;
}

/** Without what only readers see. */
export function meant(text: string): Token[] {
  return tokens(text).filter(({ kind }) => kind !== "space" && kind !== "comment");
}

/** How much deeper the brackets are behind a token: 1, 0 or -1. */
export function deeper({ kind, text }: Token): number {
  if (kind !== "sign") return 0;
  if (text === "(" || text === "[" || text === "{") return 1;
  return text === ")" || text === "]" || text === "}" ? -1 : 0;
}

/** Offset of a column as the hub counts them: characters (not UTF-16 units) from 1, in a line from 1. */
export function offset(text: string, line: number, column: number): number {
  let at = 0;
  for (let left = line; left > 1; left--) {
    const end = text.indexOf("\n", at);
    if (end < 0) break;
    at = end + 1;
  }
  for (let left = column; left > 1 && at < text.length; left--) {
    at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
  }
  return at;
}

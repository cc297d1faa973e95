// Values as KFL writes them (pysniff/kfl/literals.py): what a reader could not see stands as an escape, so that what
// is shown is what is asked.

const SHORT: Record<string, string> = { '"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
// Control characters, formats (right-to-left marks, zero-width ones), private and unassigned ones, odd spaces.
const UNSEEN = /["\\\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu;

/** A string in double quotes. Half a surrogate pair is no character, and in no entry: it becomes U+FFFD. */
export function quoted(text: string): string {
  const visible = whole(text).replace(UNSEEN, (character) => SHORT[character] ?? numbered(character));
  return `"${visible}"`;
}

/** The first characters of a text, never half of one. */
export function beginning(text: string, characters: number): string {
  if (text.length <= characters) return text;
  const code = text.charCodeAt(characters - 1);
  return text.slice(0, code >= 0xd800 && code < 0xdc00 ? characters - 1 : characters);
}

function whole(text: string): string {
  return text.replace(/\p{Cs}/gu, "\ufffd");
}

function numbered(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const [letter, digits] = code > 0xffff ? ["U", 8] : ["u", 4];
  return `\\${letter}${code.toString(16).padStart(digits as number, "0")}`;
}

/** What a string token stands for; null where its escapes are wrong, or it is bytes. */
export function unquoted(token: string): string | null {
  const [, prefix = "", quotes = "", rest = ""] = /^([rRbB]*)("""|'''|"|')(.*)$/s.exec(token) ?? [];
  if (!quotes || /b/i.test(prefix)) return null;
  const body = rest.slice(0, -quotes.length);
  const text = quotes.length === 3 ? body.replaceAll("\r\n", "\n") : body;
  if (/r/i.test(prefix)) return text;
  try {
    return text.replace(/\\(?:[xX](.{2})|u(.{4})|U(.{8})|([0-3][0-7]{2})|(.))/gs, (_, ...parts) => escaped(parts));
  } catch {
    return null;
  }
}

const LETTERS: Record<string, number> = { a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11 };

function escaped([two, four, eight, octal, letter]: (string | undefined)[]): string {
  if (letter !== undefined) {
    const code = LETTERS[letter] ?? ("\\\"'`?".includes(letter) ? letter.charCodeAt(0) : Number.NaN);
    return String.fromCodePoint(code);
  }
  const digits = two ?? four ?? eight ?? "";
  if (octal === undefined && !/^[0-9a-fA-F]+$/.test(digits)) throw new RangeError();
  return String.fromCodePoint(octal === undefined ? Number.parseInt(digits, 16) : Number.parseInt(octal, 8));
}

// The filter's text in colours, behind the input that is typed into: the input's own text is transparent then.
import { language } from "./language";
import { type Token, tokens } from "./tokens";

// Where letters have one width and one direction, and are seen: only then does the text lie below the input's.
const PLAIN = /^[\x20-\x7e\xa1-\xac\xae-\u024f]*$/;

export function isPlain(text: string): boolean {
  return PLAIN.test(text);
}

/** `wrong`: offset of what the hub refuses, -1 where it refuses nothing. */
export function Highlighted({ text, wrong }: { text: string; wrong: number }) {
  const found = tokens(text);
  const known = new Set(language.value.variables.flatMap(({ name }) => name.split(".")));
  const at = wrong >= 0 && !found.some((token) => covers(token, wrong)) ? text.length : -1;
  return (
    <>
      {found.map((token, place) => (
        <span key={token.at} class={`${kind(token, found, place, known)}${covers(token, wrong) ? " wrong" : ""}`}>
          {token.text}
        </span>
      ))}
      {at >= 0 && <span class="wrong"> </span>}
    </>
  );
}

function covers(token: Token, wrong: number): boolean {
  return token.at <= wrong && wrong < token.at + token.text.length;
}

function kind(token: Token, found: readonly Token[], place: number, known: ReadonlySet<string>): string {
  if (token.kind !== "name") return `is-${token.kind}`;
  if (/^(true|false|null)$/.test(token.text)) return "is-number";
  if (found[place + 1]?.text === "(") return "is-function";
  return known.has(token.text) ? "is-variable" : "is-name";
}

// XML as a tree of our own, which nothing can run in: no entities but the five that need no declaration, and numbers.
// Document types are skipped. Bounded, and lenient about nothing: what is not well formed is shown as text.
import { group, type Node, scalar } from "./node";

const NODES = 100_000;
const DEPTH = 500;
const NAME = /[^\s<>/=!?'"]+/y;
const ATTRIBUTES = /(?:\s+[^\s<>/=!?'"]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*\s*/y;
const ENTITIES: Record<string, string> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

export class NotXml extends Error {}

/** Throws NotXml. `cut`: the text ends where it was cut, and what is open then is closed. */
export function xml(text: string, cut = false): Node {
  const root = group("element", null, []);
  const open: Node[] = [root];
  let at = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  let nodes = 0;
  const put = (node: Node) => {
    const outer = open[open.length - 1] as Node;
    node.parent = outer;
    outer.children?.push(node);
    if (++nodes > NODES) throw new NotXml(`more than ${NODES.toLocaleString("en")} elements`);
  };
  while (at < text.length) {
    const sign = text.indexOf("<", at);
    const words = text.slice(at, sign < 0 ? text.length : sign);
    if (words.trim()) {
      if (open.length === 1) throw wrong(at);
      put(scalar("text", null, decoded(words.trim())));
    }
    if (sign < 0) break;
    at = sign;
    const skipped = skip(text, at);
    if (skipped) {
      if (skipped.end < 0) {
        at = text.length;
        break;
      }
      if (skipped.node) put(skipped.node);
      at = skipped.end;
      continue;
    }
    const closes = text[at + 1] === "/";
    const start = at + (closes ? 2 : 1);
    NAME.lastIndex = start;
    const name = NAME.exec(text)?.[0];
    if (name === undefined) {
      if (cut && start >= text.length - 1) break;
      throw wrong(at);
    }
    ATTRIBUTES.lastIndex = start + name.length;
    const attributes = ATTRIBUTES.exec(text)?.[0] ?? "";
    const after = start + name.length + attributes.length;
    const empty = text[after] === "/" && text[after + 1] === ">";
    if (!empty && text[after] !== ">") {
      if (cut && text.indexOf(">", after) < 0) break;
      throw wrong(after);
    }
    at = after + (empty ? 2 : 1);
    if (closes) {
      if (open.length === 1 || open[open.length - 1]?.name !== name)
        throw new NotXml(`</${name.slice(0, 40)}> closes another`);
      open.pop();
      continue;
    }
    const node = group("element", name, []);
    node.text = decoded(attributes.trim().replace(/\s+/g, " "));
    put(node);
    if (!empty) open.push(node);
    if (open.length > DEPTH) throw new NotXml(`nested deeper than ${DEPTH}`);
  }
  const whole = open.length === 1;
  if (!whole && !cut) throw new NotXml(`<${String(open[open.length - 1]?.name).slice(0, 40)}> is not closed`);
  const elements = root.children?.filter((child) => child.kind === "element") ?? [];
  const [only] = elements;
  if (!only) throw new NotXml("no element");
  if (!whole) only.note = "cut here";
  if (root.children?.length !== 1) return root;
  only.parent = null;
  return only;

  function wrong(place: number): NotXml {
    return new NotXml(`not well formed at character ${place + 1}`);
  }
}

/** What is no element: where it ends, -1 where it does not, and what to show of it. Null for an element. */
function skip(text: string, at: number): { end: number; node: Node | null } | null {
  for (const [begin, end, kind] of [
    ["<!--", "-->", "comment"],
    ["<![CDATA[", "]]>", "text"],
    ["<?", "?>", null],
  ] as const) {
    if (!text.startsWith(begin, at)) continue;
    const stop = text.indexOf(end, at + begin.length);
    if (stop < 0) return { end: -1, node: null };
    const inner = text.slice(at + begin.length, stop);
    return { end: stop + end.length, node: kind ? scalar(kind, null, inner.trim()) : null };
  }
  if (!text.startsWith("<!", at)) return null;
  let depth = 0;
  for (let end = at; end < text.length; end++) {
    if (text[end] === "[") depth++;
    else if (text[end] === "]") depth--;
    else if (text[end] === ">" && depth <= 0) return { end: end + 1, node: null };
  }
  return { end: -1, node: null };
}

function decoded(text: string): string {
  return text.replace(/&(#x[0-9a-fA-F]{1,6}|#\d{1,7}|\w{1,8});/g, (whole, name: string) => {
    if (name[0] !== "#") return ENTITIES[name] ?? whole;
    const number = name[1] === "x" ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1));
    return number <= 0x10ffff ? String.fromCodePoint(number) : whole;
  });
}

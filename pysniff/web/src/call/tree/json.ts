// JSON as a tree. Not JSON.parse: numbers keep their digits, keys their order and their repetitions, and a text that is
// cut shows what there is of it. Bounded, as a peer may send anything.
import { group, type Node, scalar } from "./node";

export const NODES = 200_000;
export const DEPTH = 1_000;

export class NotJson extends Error {}

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// The last three are no JSON, and Python and JavaScript write them all the same.
const LITERAL = /true|false|null|NaN|Infinity|-Infinity/y;

export interface Options {
  /** The text ends where it was cut: what is open then is closed. */
  cut?: boolean;
  /** One document behind the other, as lines of JSON are: an array of them. */
  many?: boolean;
  /** Values beyond which it is refused. */
  most?: number;
}

const WORD = 32; // characters of a number or literal, at the end of what is cut

/** Throws NotJson. */
export function json(text: string, { cut = false, many = false, most = NODES }: Options = {}): Node {
  const reader = new Reader(text, cut, most);
  const found: Node[] = [];
  do {
    const node = reader.value(many ? found.length : null);
    if (node) found.push(node);
    reader.space();
  } while (many && reader.at < text.length && !reader.ended);
  if (!reader.ended && reader.at < text.length) throw new NotJson(`more behind the end, at character ${reader.at + 1}`);
  const [first] = found;
  if (!first) throw new NotJson("empty");
  const root = many ? group("array", null, found) : first;
  if (reader.ended) root.note = "cut here";
  return root;
}

class End extends Error {}

class Reader {
  at = 0;
  ended = false;
  private nodes = 0;

  constructor(
    private readonly text: string,
    private readonly cut: boolean,
    private readonly most: number,
  ) {}

  space(): void {
    SPACE.lastIndex = this.at;
    SPACE.test(this.text);
    this.at = SPACE.lastIndex;
  }

  /** The next value; null where the text is cut before it. */
  value(name: Node["name"]): Node | null {
    const open: Node[] = [];
    let root: Node | null = null;
    const put = (node: Node) => {
      const outer = open[open.length - 1];
      if (outer?.children) {
        node.parent = outer;
        outer.children.push(node);
      } else root = node;
      if (++this.nodes > this.most) throw new NotJson(`more than ${this.most.toLocaleString("en")} values`);
    };
    try {
      let key: Node["name"] = name;
      for (;;) {
        // A value is due.
        this.space();
        const node = this.one(key);
        put(node);
        if (node.children) {
          open.push(node);
          if (open.length > DEPTH) throw new NotJson(`nested deeper than ${DEPTH}`);
          this.space();
          if (this.peek() !== (node.kind === "array" ? "]" : "}")) {
            key = this.key(node);
            continue;
          }
        }
        // A value has ended: what follows belongs to what is around it.
        for (;;) {
          const outer = open[open.length - 1];
          if (!outer) return root;
          this.space();
          const sign = this.peek();
          if (sign === (outer.kind === "array" ? "]" : "}")) {
            this.at++;
            open.pop();
          } else if (sign === "," && outer.children?.length) {
            this.at++;
            key = this.key(outer);
            break;
          } else throw this.wrong();
        }
      }
    } catch (error) {
      if (!(error instanceof End)) throw error;
      if (!this.cut) throw new NotJson("ends too early");
      this.ended = true;
      return root;
    }
  }

  private one(name: Node["name"]): Node {
    const sign = this.peek();
    if (sign === "{" || sign === "[") {
      this.at++;
      return group(sign === "[" ? "array" : "object", name, []);
    }
    if (sign === '"') return scalar("string", name, this.string());
    // "12" of "123", "tr" of "true": nobody knows.
    if (this.cut && /^[-+.\w]*$/.test(this.text.slice(this.at, this.at + WORD))) {
      if (this.text.length - this.at < WORD) throw new End();
    }
    for (const [kind, form] of [
      ["number", NUMBER],
      ["literal", LITERAL],
    ] as const) {
      form.lastIndex = this.at;
      const found = form.exec(this.text);
      if (!found) continue;
      this.at += found[0].length;
      return scalar(kind, name, found[0]);
    }
    throw this.wrong();
  }

  private key(outer: Node): Node["name"] {
    if (outer.kind === "array") return outer.children?.length ?? 0;
    this.space();
    if (this.peek() !== '"') throw this.wrong();
    const key = this.string();
    this.space();
    if (this.peek() !== ":") throw this.wrong();
    this.at++;
    return key;
  }

  private string(): string {
    let end = this.at;
    do {
      end = this.text.indexOf('"', end + 1);
      if (end < 0) throw new End();
    } while (this.escaped(end));
    const inner = this.text.slice(this.at + 1, end);
    const start = this.at;
    this.at = end + 1;
    if (!inner.includes("\\")) return inner;
    try {
      // Line ends within a string are no JSON, and harmless.
      return JSON.parse(`"${inner.replace(/\p{Cc}/gu, escaped)}"`) as string;
    } catch {
      throw new NotJson(`a string that is none, at character ${start + 1}`);
    }
  }

  /** Whether an odd number of backslashes stands before it. */
  private escaped(at: number): boolean {
    let first = at;
    while (this.text[first - 1] === "\\") first--;
    return (at - first) % 2 === 1;
  }

  private peek(): string {
    const sign = this.text[this.at];
    if (sign === undefined) throw new End();
    return sign;
  }

  private wrong(): NotJson {
    return new NotJson(`no JSON at character ${this.at + 1}`);
  }
}

function escaped(control: string): string {
  return `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

// What a tree shows: values inside of values, as JSON, XML and protobuf have them. Texts are as they were sent: a
// number keeps its digits, which JavaScript's numbers would not.

export type Kind = "object" | "array" | "string" | "number" | "literal" | "element" | "text" | "comment";

export interface Node {
  kind: Kind;
  /** The key in an object, the place in an array, the tag of an element; null where there is none. */
  name: string | number | null;
  /** Of a scalar its text; of an element its attributes. */
  text: string;
  /** Said beside it, in our words. */
  note: string;
  children: Node[] | null;
  parent: Node | null;
}

export function scalar(kind: Kind, name: Node["name"], text: string, note = ""): Node {
  return { kind, name, text, note, children: null, parent: null };
}

export function group(kind: Kind, name: Node["name"], children: Node[], note = ""): Node {
  const made: Node = { kind, name, text: "", note, children, parent: null };
  for (const child of children) child.parent = made;
  return made;
}

/** The value of an object's key; null where there is none. */
export function member(node: Node | null, key: string): Node | null {
  return node?.children?.find((child) => child.name === key) ?? null;
}

/** How to get there, as JSONPath writes it: $.items[2]["two words"]. */
export function path(node: Node): string {
  const steps: string[] = [];
  for (let at: Node | null = node; at?.parent; at = at.parent) steps.push(step(at.name));
  return `$${steps.reverse().join("")}`;
}

export function step(name: Node["name"]): string {
  if (name === null) return "";
  if (typeof name === "number") return `[${name}]`;
  return /^[A-Za-z_]\w*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
}

const PREVIEW = 90; // characters

/** What stands inside of a closed object or array, in a line. */
export function preview(node: Node): string {
  const children = node.children ?? [];
  const [begin, end] = node.kind === "array" ? "[]" : "{}";
  let line = "";
  for (const child of children) {
    const named = node.kind === "array" || child.name === null ? "" : `${child.name}: `;
    line += `${line && ", "}${named}${child.children ? (child.kind === "array" ? "[…]" : "{…}") : brief(child)}`;
    if (line.length > PREVIEW) return `${begin}${line.slice(0, PREVIEW)}…${end}`;
  }
  return `${begin}${line}${end}`;
}

const BRIEF = 40; // characters

function brief(node: Node): string {
  const text = node.text.length > BRIEF ? `${node.text.slice(0, BRIEF)}…` : node.text;
  return node.kind === "string" ? JSON.stringify(text) : text;
}

/** JSON again, indented, with numbers and their digits as they were. */
export function written(root: Node, indent = "  "): string {
  const parts: string[] = [];
  // Not recursive: what is nested deeper than the stack would be no reason to fail.
  const left: (Node | string)[] = [root];
  const depths = [0];
  while (left.length) {
    const node = left.pop() as Node | string;
    const depth = depths.pop() ?? 0;
    if (typeof node === "string") {
      parts.push(node);
      continue;
    }
    const named = typeof node.name === "string" && node.parent ? `${JSON.stringify(node.name)}: ` : "";
    if (!node.children?.length) {
      parts.push(named + (node.children ? (node.kind === "array" ? "[]" : "{}") : value(node)));
      continue;
    }
    parts.push(named + (node.kind === "array" ? "[" : "{"));
    left.push(`\n${indent.repeat(depth)}${node.kind === "array" ? "]" : "}"}`);
    depths.push(depth);
    for (let place = node.children.length - 1; place >= 0; place--) {
      const last = place === node.children.length - 1;
      if (!last) push(",", depth);
      push(node.children[place] as Node, depth + 1);
      push(`\n${indent.repeat(depth + 1)}`, depth);
    }
  }
  return parts.join("");

  function push(one: Node | string, depth: number) {
    left.push(one);
    depths.push(depth);
  }
}

function value(node: Node): string {
  return node.kind === "string" || node.kind === "text" ? JSON.stringify(node.text) : node.text;
}

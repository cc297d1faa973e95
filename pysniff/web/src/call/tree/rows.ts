// Which lines of a tree are shown: those whose parents are all open.
import type { Node } from "./node";

export interface Row {
  node: Node;
  depth: number;
  /** Its place among its parent's children, from 1, and how many they are. */
  place: number;
  of: number;
}

export const isGroup = (node: Node): boolean => Boolean(node.children?.length);

export function rows(root: Node, open: ReadonlySet<Node>): Row[] {
  const found: Row[] = [];
  const left: Row[] = [{ node: root, depth: 0, place: 1, of: 1 }];
  while (left.length) {
    const row = left.pop() as Row;
    found.push(row);
    const children = row.node.children;
    if (!children || !open.has(row.node)) continue;
    for (let place = children.length; place > 0; place--) {
      left.push({ node: children[place - 1] as Node, depth: row.depth + 1, place, of: children.length });
    }
  }
  return found;
}

/** What is open at first: from the root on, level by level, as long as it stays a page or two. */
export function opened(root: Node, most = 150): Set<Node> {
  const open = new Set<Node>();
  let shown = 1;
  let level = [root];
  while (level.length) {
    const next: Node[] = [];
    for (const node of level) {
      if (!node.children?.length) continue;
      if (shown + node.children.length > most && open.size) continue;
      shown += node.children.length;
      open.add(node);
      next.push(...node.children.slice(0, most));
    }
    level = next;
  }
  return open;
}

export function everything(root: Node): Set<Node> {
  const open = new Set<Node>();
  const left = [root];
  while (left.length) {
    const node = left.pop() as Node;
    if (!isGroup(node)) continue;
    open.add(node);
    for (const child of node.children ?? []) left.push(child);
  }
  return open;
}

const MATCHES = 1_000;

/** The nodes whose name or text has the words in it, whatever their case, in their order: the first thousand. */
export function matches(root: Node, words: string): Node[] {
  const wanted = words.toLowerCase();
  const found: Node[] = [];
  if (!wanted) return found;
  const left = [root];
  while (left.length && found.length < MATCHES) {
    const node = left.pop() as Node;
    if (
      String(node.name ?? "")
        .toLowerCase()
        .includes(wanted) ||
      node.text.toLowerCase().includes(wanted)
    ) {
      found.push(node);
    }
    const children = node.children ?? [];
    for (let place = children.length - 1; place >= 0; place--) left.push(children[place] as Node);
  }
  return found;
}

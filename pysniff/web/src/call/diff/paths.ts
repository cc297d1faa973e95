// Where two JSON documents differ, by path: objects by key, arrays by place.
import { type Node, step, written } from "../tree/node";
import type { Difference } from "./pairs";

export const DIFFERENCES = 1_000;
const VALUE = 500; // characters of a value shown

/** The differences, the first thousand of them, and whether there are more. */
export function paths(before: Node, after: Node): { differences: Difference[]; more: boolean } {
  const differences: Difference[] = [];
  const left: Pair[] = [[before, after, "$"]];
  while (left.length) {
    const [old, now, path] = left.pop() as Pair;
    if (old?.children && now?.children && old.kind === now.kind) {
      left.push(...matched(old, now, path).reverse());
      continue;
    }
    if (old && now && !old.children && !now.children && old.kind === now.kind && old.text === now.text) continue;
    if (differences.length === DIFFERENCES) return { differences, more: true };
    differences.push({ name: path, before: old && brief(old), after: now && brief(now) });
  }
  return { differences, more: false };
}

/** A value, what is in its place in the other document, and where that is. */
type Pair = [Node | null, Node | null, string];

function matched(old: Node, now: Node, path: string): Pair[] {
  const others = new Map((now.children ?? []).map((child) => [child.name, child]));
  const both: Pair[] = [];
  for (const child of old.children ?? []) {
    both.push([child, others.get(child.name) ?? null, path + step(child.name)]);
    others.delete(child.name);
  }
  for (const child of others.values()) both.push([null, child, path + step(child.name)]);
  return both;
}

function brief(node: Node): string {
  const named = { ...node, name: null };
  const text = written(named, " ").replace(/\n */g, " ");
  return text.length > VALUE ? `${text.slice(0, VALUE)}…` : text;
}

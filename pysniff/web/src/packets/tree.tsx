// The layers of a packet as a tree; the keys are those of the ARIA pattern for trees.
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Field } from "./terms";

/** What is unfolded, by names from the layer down, so that the next packet is unfolded alike. */
const unfolded = signal<ReadonlySet<string>>(new Set(["TCP", "UDP"]));

interface Node {
  field: Field;
  level: number;
  names: string;
  parent: Field | null;
}

export function LayerTree({
  layers,
  chosen,
  choose,
}: {
  layers: readonly Field[];
  chosen: Field | null;
  choose: (field: Field) => void;
}) {
  const box = useRef<HTMLDivElement>(null);
  const nodes = visible(layers);
  const place = nodes.findIndex((node) => node.field === chosen);
  useEffect(() => {
    box.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  const go = (node: Node | undefined) => {
    if (!node) return;
    choose(node.field);
    const at = nodes.indexOf(node);
    box.current?.querySelectorAll<HTMLElement>('[role="treeitem"]')[at]?.focus();
  };
  const key = (event: KeyboardEvent) => {
    const node = nodes[Math.max(0, place)];
    if (!node || event.ctrlKey || event.metaKey || event.altKey) return;
    const open = unfolded.value.has(node.names);
    const at = nodes.indexOf(node);
    switch (event.key) {
      case "ArrowDown":
        go(nodes[place < 0 ? 0 : at + 1]);
        break;
      case "ArrowUp":
        go(nodes[at - 1]);
        break;
      case "Home":
        go(nodes[0]);
        break;
      case "End":
        go(nodes[nodes.length - 1]);
        break;
      case "ArrowRight":
        if (node.field.fields.length && !open) fold(node.names, true);
        else if (node.field.fields.length) go(nodes[at + 1]);
        break;
      case "ArrowLeft":
        if (node.field.fields.length && open) fold(node.names, false);
        else if (node.parent) go(nodes.find((other) => other.field === node.parent));
        break;
      case "Enter":
      case " ":
        choose(node.field);
        if (node.field.fields.length) fold(node.names, !open);
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class="layer-tree mono" role="tree" aria-label="Layers of the packet" ref={box} onKeyDown={key}>
      {nodes.map((node, index) => {
        const { field, level, names } = node;
        const open = unfolded.value.has(names);
        return (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are the tree's
          <div
            key={`${index} ${names}`}
            role="treeitem"
            aria-level={level}
            aria-expanded={field.fields.length ? open : undefined}
            aria-selected={field === chosen}
            tabIndex={index === Math.max(0, place) ? 0 : -1}
            class={level === 1 ? "layer" : "field"}
            style={{ paddingInlineStart: `${4 + (level - 1) * 16}px` }}
            onClick={() => choose(field)}
          >
            <span
              class="twist"
              aria-hidden="true"
              onClick={(event) => {
                if (field.fields.length === 0) return;
                event.stopPropagation();
                fold(names, !open);
              }}
            >
              {field.fields.length ? (open ? "▾" : "▸") : ""}
            </span>
            <span class="name">{field.name}</span> <span class="captured">{field.value}</span>
          </div>
        );
      })}
    </div>
  );
}

/** The innermost field that has this byte, unfolded so that it is seen. */
export function fieldAt(layers: readonly Field[], at: number): Field | null {
  let found: Field | null = null;
  let within = layers;
  let names = "";
  for (;;) {
    // Of flags that share a byte the first; a layer behind another one never shares.
    const next = within.find((field) => field.from <= at && at < field.to);
    if (!next) return found;
    if (found) fold(names, true);
    names = names ? `${names}/${next.name}` : next.name;
    found = next;
    within = next.fields;
  }
}

function fold(names: string, open: boolean): void {
  const next = new Set(unfolded.value);
  if (open) next.add(names);
  else next.delete(names);
  unfolded.value = next;
}

function visible(layers: readonly Field[]): Node[] {
  const nodes: Node[] = [];
  const add = (fields: readonly Field[], level: number, above: string, parent: Field | null) => {
    for (const field of fields) {
      const names = above ? `${above}/${field.name}` : field.name;
      nodes.push({ field, level, names, parent });
      if (unfolded.value.has(names)) add(field.fields, level + 1, names, field);
    }
  };
  add(layers, 1, "", null);
  return nodes;
}

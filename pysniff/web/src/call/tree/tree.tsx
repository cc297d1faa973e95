// A tree that opens and closes, with keys as in every tree: arrows, home, end, enter. The chosen value is shown whole,
// with the way to it.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { count } from "../../format";
import { CopyButton } from "../copy_button";
import { Find } from "../find";
import { Rows } from "../rows";
import { inLine, visible } from "../visible";
import { type Node, path, preview, written } from "./node";
import { everything, isGroup, matches, opened, type Row, rows } from "./rows";

const HEIGHT = 20;
const SHORT = 300; // characters of a value in its row
const WHOLE = 20_000; // characters of the chosen value
const FLAT = 5_000; // rows beyond which it is said how many they are
const FEW = 12; // values that one sees without looking for them

let trees = 0;

export function Tree({ root, label }: { root: Node; label: string }) {
  const [id] = useState(() => `tree-${++trees}`);
  const [open, setOpen] = useState<ReadonlySet<Node>>(() => opened(root));
  const [chosen, choose] = useState<Node | null>(null);
  const [words, setWords] = useState("");
  const before = useRef(root);
  useEffect(() => {
    if (before.current === root) return;
    before.current = root;
    setOpen(opened(root));
    choose(null);
  }, [root]);
  const lines = useMemo(() => rows(root, open), [root, open]);
  const hits = useMemo(() => matches(root, words), [root, words]);
  const big = useMemo(() => rows(root, everything(root)).length > FEW, [root]);
  const hit = useMemo(() => new Set(hits), [hits]);
  const place = chosen ? lines.findIndex(({ node }) => node === chosen) : -1;

  const show = (node: Node) => {
    const next = new Set(open);
    for (let at = node.parent; at; at = at.parent) next.add(at);
    setOpen(next);
    choose(node);
  };
  const turn = (node: Node, to = !open.has(node)) => {
    const next = new Set(open);
    if (to) next.add(node);
    else next.delete(node);
    setOpen(next);
  };
  const go = (to: number) => choose(lines[Math.max(0, Math.min(to, lines.length - 1))]?.node ?? null);
  const key = (event: KeyboardEvent) => {
    const node = chosen ?? root;
    const isOpen = open.has(node);
    const keys: Record<string, () => void> = {
      ArrowDown: () => go(place + 1),
      ArrowUp: () => go(place - 1),
      Home: () => go(0),
      End: () => go(lines.length - 1),
      PageDown: () => go(place + 20),
      PageUp: () => go(place - 20),
      Enter: () => isGroup(node) && turn(node),
      " ": () => isGroup(node) && turn(node),
      ArrowRight: () => (isGroup(node) && !isOpen ? turn(node, true) : go(place + 1)),
      ArrowLeft: () => (isOpen && isGroup(node) ? turn(node, false) : node.parent && choose(node.parent)),
    };
    const does = keys[event.key];
    if (!does || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    does();
  };
  return (
    <div class="tree">
      {big && (
        <div class="bar-row">
          <Find
            label={`Find in ${label}`}
            words={words}
            found={hits.length}
            onWords={setWords}
            onGo={(number) => {
              const node = hits[number];
              if (node) show(node);
            }}
          />
          <button type="button" class="quiet small" onClick={() => setOpen(everything(root))} title="Open everything">
            open all
          </button>
          <button type="button" class="quiet small" onClick={() => setOpen(new Set([root]))} title="Close everything">
            close all
          </button>
          {lines.length > FLAT && <span class="faint">{count(lines.length)} rows</span>}
        </div>
      )}
      <Rows
        count={lines.length}
        height={HEIGHT}
        reveal={place}
        attributes={{
          role: "tree",
          "aria-label": label,
          onKeyDown: key,
          ...(place >= 0 ? { "aria-activedescendant": `${id}-${place}` } : {}),
        }}
        row={(at) => {
          const line = lines[at];
          if (!line) return null;
          return (
            <Item
              key={at}
              id={`${id}-${at}`}
              line={line}
              open={open.has(line.node)}
              chosen={line.node === chosen}
              hit={hit.has(line.node)}
              onChoose={() => choose(line.node)}
              onTurn={() => turn(line.node)}
            />
          );
        }}
      />
      {chosen && <Chosen node={chosen} />}
    </div>
  );
}

interface ItemProps {
  id: string;
  line: Row;
  open: boolean;
  chosen: boolean;
  hit: boolean;
  onChoose: () => void;
  onTurn: () => void;
}

function Item({ id, line, open, chosen, hit, onChoose, onTurn }: ItemProps) {
  const { node, depth, place, of } = line;
  const inside = isGroup(node);
  const element = node.kind === "element";
  return (
    // biome-ignore lint/a11y/useFocusableInteractive: the tree has the focus and names its active row
    // biome-ignore lint/a11y/useKeyWithClickEvents: keys are the tree's
    <div
      id={id}
      role="treeitem"
      class={`item${chosen ? " chosen" : ""}${hit ? " hit" : ""}`}
      aria-level={depth + 1}
      aria-setsize={of}
      aria-posinset={place}
      aria-selected={chosen}
      {...(inside ? { "aria-expanded": open } : {})}
      style={{ paddingInlineStart: `${Math.min(depth, 40) * 14 + 4}px` }}
      onClick={() => {
        onChoose();
        if (inside) onTurn();
      }}
    >
      <span class="turn" aria-hidden="true">
        {inside ? (open ? "▾" : "▸") : ""}
      </span>
      {node.name !== null && (
        <span class="key captured">
          {element ? `<${inLine(String(node.name))}` : inLine(String(node.name).slice(0, SHORT))}
        </span>
      )}
      {node.name !== null && !element && <span class="faint">: </span>}
      <ValueText node={node} open={open} />
      {element && node.name !== null && <span class="key">{inside ? ">" : "/>"}</span>}
      {node.note && <span class="note captured">{inLine(node.note)}</span>}
    </div>
  );
}

function ValueText({ node, open }: { node: Node; open: boolean }) {
  const text = node.text.length > SHORT ? `${node.text.slice(0, SHORT)}…` : node.text;
  if (node.kind === "element") return text ? <span class="attributes captured"> {inLine(text)}</span> : null;
  if (node.kind === "string") return <span class="string captured">{inLine(JSON.stringify(text))}</span>;
  if (node.kind === "comment") return <span class="faint captured">{`<!-- ${inLine(text)} -->`}</span>;
  if (!node.children) return <span class={`${node.kind} captured`}>{inLine(text)}</span>;
  if (open && node.children.length) {
    const [one, many] = node.kind === "array" ? ["item", "items"] : ["field", "fields"];
    return <span class="faint">{`${count(node.children.length)} ${node.children.length === 1 ? one : many}`}</span>;
  }
  return <span class="preview captured">{inLine(preview(node))}</span>;
}

/** The chosen value, whole, and how to get there. */
function Chosen({ node }: { node: Node }) {
  const text = useMemo(() => (node.children ? null : node.text), [node]);
  return (
    <div class="tree-chosen">
      <div class="bar-row">
        <code class="captured path">{inLine(path(node).slice(0, 400))}</code>
        <CopyButton text={() => path(node)} label="Copy the path">
          copy path
        </CopyButton>
        <CopyButton text={() => text ?? written(node)} label="Copy the value">
          copy value
        </CopyButton>
      </div>
      {text !== null && text.length > 80 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        <pre class="captured whole" tabIndex={0}>
          {visible(text.slice(0, WHOLE))}
          {text.length > WHOLE && (
            <span class="faint"> … {count(text.length - WHOLE)} characters more are in the copy</span>
          )}
        </pre>
      )}
    </div>
  );
}

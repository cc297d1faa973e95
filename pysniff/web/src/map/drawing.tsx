// The graph as a drawing: circles by calls, arrows by rate and trouble; what is pointed at stands out.
import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { count, shortened } from "../format";
import { chosen } from "./current";
import type { Edge, Graph, Node } from "./graph";
import { Layout } from "./layout";
import { narrow } from "./narrow";
import { neighbours, part } from "./part";
import { type Circle, type Curve, curve, radius, spots, width } from "./shapes";
import { Tip } from "./tip";
import { useViewing } from "./viewing";
import { perSecond, took, trouble } from "./words";

const NAMED = 80; // nodes that all have their names beside them
const LABELLED = 40; // edges that all have their figures beside them
const NAME = 26; // characters

// Kept while other views are looked at, so that everything is where it was.
const layout = new Layout();

export function Drawing({ graph }: { graph: Graph }) {
  const { nodes, edges, lanes } = useMemo(() => part(graph), [graph]);
  const box = useRef<SVGSVGElement>(null);
  const frame = useSignal(0);
  const pointed = useSignal("");
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  layout.show(
    nodes.map(({ id, made, answered }) => ({ id, radius: radius(made + answered) })),
    edges,
    still,
  );

  const running = useRef(0);
  const run = () => {
    if (running.current || layout.settled) return;
    const step = () => {
      running.current = layout.step() ? requestAnimationFrame(step) : 0;
      frame.value += 1;
    };
    running.current = requestAnimationFrame(step);
  };
  useEffect(run);
  useEffect(() => () => cancelAnimationFrame(running.current), []);
  const viewing = useViewing(box, layout, () => {
    frame.value += 1;
    if (!still) run();
  });

  const choose = (event: MouseEvent | KeyboardEvent, { id, clauses }: Node | Edge) => {
    event.stopPropagation();
    if (viewing.dragged()) return;
    chosen.value = id;
    narrow(clauses(), event.shiftKey);
  };
  const keys = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter") box.current?.querySelector<SVGGElement>(".node")?.focus();
    else if (!viewing.key(event)) return;
    event.preventDefault();
    event.stopPropagation();
  };
  const point = (id: string) => {
    pointed.value = id;
  };

  frame.value;
  const { view } = viewing;
  const active = pointed.value || chosen.value;
  const near = neighbours(active, edges);
  const state = (id: string) => `${near.has(id) ? "near" : ""} ${id === chosen.value ? "chosen" : ""}`;
  const curves = new Map(edges.map((edge) => [edge.id, curveOf(edge, lanes.get(edge.id) ?? 0)]));
  const labels = edges.flatMap((edge) => {
    const drawn = edges.length <= LABELLED || near.has(edge.id) ? curves.get(edge.id) : null;
    return drawn ? [{ edge, curve: drawn, text: labelOf(edge) }] : [];
  });
  const places = spots(
    labels,
    nodes.flatMap(({ id }) => layout.places.get(id) ?? []),
  );
  const named = nodes.length > NAMED ? NAMED / 2 : NAMED;
  return (
    <div class="drawing">
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is no drawing */}
      <svg
        ref={box}
        class={near.size ? "lit" : ""}
        tabindex={0}
        role="group"
        aria-label={`Map: ${count(nodes.length)} services, ${count(edges.length)} edges. ${HELP}`}
        onPointerDown={(event) => viewing.down(event, "")}
        onPointerMove={viewing.move}
        onPointerUp={viewing.up}
        onPointerCancel={viewing.up}
        onKeyDown={keys}
      >
        <g transform={`translate(${view.x} ${view.y}) scale(${view.scale})`}>
          {edges.map((edge) => (
            // biome-ignore lint/a11y/noStaticElementInteractions: the table has a button for each edge
            <g
              key={edge.id}
              class={`edge ${state(edge.id)}`}
              data-trouble={trouble(edge)}
              data-edge={`${edge.port ?? ""}/${edge.protocol}`}
              onPointerEnter={() => point(edge.id)}
              onPointerLeave={() => point("")}
              onClick={(event) => choose(event, edge)}
            >
              <Arrow edge={edge} curve={curves.get(edge.id) ?? null} />
            </g>
          ))}
          <g class="labels">
            {labels.map(({ edge, text }, number) => (
              <text
                key={edge.id}
                class={near.has(edge.id) ? "near" : ""}
                x={places[number]?.x.toFixed(1)}
                y={places[number]?.y.toFixed(1)}
              >
                {text}
              </text>
            ))}
          </g>
          <g>
            {nodes.map((node, number) => (
              // biome-ignore lint/a11y/useSemanticElements: SVG has no buttons
              <g
                key={node.id}
                class={`node ${state(node.id)}`}
                role="button"
                tabindex={number ? -1 : 0}
                aria-label={`${node.label}: made ${count(node.made)} calls, answered ${count(node.answered)}, ${count(node.errors)} with an error`}
                transform={moved(layout.places.get(node.id))}
                onPointerDown={(event) => viewing.down(event, node.id)}
                onPointerEnter={() => point(node.id)}
                onPointerLeave={() => point("")}
                onFocus={() => point(node.id)}
                onBlur={() => point("")}
                onClick={(event) => choose(event, node)}
                onKeyDown={(event) =>
                  nodeKeys(
                    event,
                    () => choose(event, node),
                    () => box.current?.focus(),
                  )
                }
              >
                <circle r={radius(node.made + node.answered)} class={node.answered ? "server" : "client"} />
                {(number < named || near.has(node.id)) && (
                  <text class="captured" y={radius(node.made + node.answered) + 14}>
                    {shortened(node.label, NAME)}
                  </text>
                )}
              </g>
            ))}
          </g>
        </g>
      </svg>
      <div class="zoom">
        <button type="button" onClick={viewing.larger} aria-label="Larger" title="Larger (+)">
          +
        </button>
        <button type="button" onClick={viewing.smaller} aria-label="Smaller" title="Smaller (-)">
          −
        </button>
        <button type="button" onClick={viewing.fit} title="All of it (0)">
          Fit
        </button>
        <button
          type="button"
          title="Find places anew, also for what was dragged"
          onClick={() => {
            layout.arrange(still);
            viewing.fit();
            frame.value += 1;
          }}
        >
          Arrange
        </button>
      </div>
      {pointed.value !== chosen.value && <Tip graph={graph} id={pointed.value} />}
      {graph.nodes.length > nodes.length && (
        <p class="map-more">{count(graph.nodes.length - nodes.length)} more services, less busy ones: see the table</p>
      )}
    </div>
  );
}

const HELP =
  "Arrow keys move it, plus and minus enlarge it, 0 shows all, Enter goes to the services. The table says the same.";

function Arrow({ edge, curve }: { edge: Edge; curve: Curve | null }) {
  if (!curve) return null;
  return (
    <>
      <path class="hit" d={curve.path} />
      <path class="line" d={curve.path} stroke-width={width(edge.rate).toFixed(1)} />
      <path class="head" d={curve.head} />
    </>
  );
}

function labelOf(edge: Edge): string {
  const port = edge.port === null || edge.target.startsWith("port:") ? "" : `:${edge.port}`;
  const latency = edge.latency ? ` · ${took(edge.latency, "p90")}` : "";
  return `${edge.protocol}${port} ${perSecond(edge.rate)}${latency}`;
}

function curveOf(edge: Edge, lane: number): Curve | null {
  const [from, to] = [layout.places.get(edge.source), layout.places.get(edge.target)];
  return from && to ? curve(from, to, lane, width(edge.rate)) : null;
}

function moved(circle: Circle | undefined): string {
  return circle ? `translate(${circle.x.toFixed(1)} ${circle.y.toFixed(1)})` : "";
}

function nodeKeys(event: KeyboardEvent, choose: () => void, leave: () => void): void {
  const { nextElementSibling, previousElementSibling } = event.currentTarget as SVGGElement;
  const to = (element: Element | null) => element instanceof SVGGElement && element.focus();
  if (event.key === "Enter" || event.key === " ") choose();
  else if (event.key === "Escape") leave();
  else if (event.key === "ArrowRight" || event.key === "ArrowDown") to(nextElementSibling);
  else if (event.key === "ArrowLeft" || event.key === "ArrowUp") to(previousElementSibling);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

// Where nodes stand: pushed apart, and held together by what goes between them.
//
// A node keeps its place when figures change; one that is new begins beside a neighbour. Nothing moves once it has
// settled. One that a person put somewhere stays there.
import {
  forceCollide,
  forceLink,
  forceManyBody,
  forceSimulation,
  forceX,
  forceY,
  type SimulationLinkDatum,
  type SimulationNodeDatum,
} from "d3-force";

export interface Place extends SimulationNodeDatum {
  id: string;
  radius: number;
  x: number;
  y: number;
}

type Link = SimulationLinkDatum<Place>;

const DISTANCE = 190;
const DECAY = 0.045; // some 150 steps
const AHEAD = 60; // steps before anything is shown
const REMEMBERED = 1_000;
const WARM = 0.3; // how far a change shakes what stands already

export class Layout {
  readonly #links = forceLink<Place, Link>([])
    .id((place) => place.id)
    .distance(DISTANCE)
    .strength(0.25);
  readonly #simulation = forceSimulation<Place>([])
    .stop()
    .alphaDecay(DECAY)
    .force("links", this.#links)
    .force("apart", forceManyBody<Place>().strength(-700).distanceMax(900))
    // Labels stand below: more room is needed than circles take.
    .force("room", forceCollide<Place>((place) => place.radius + 26).strength(0.8))
    .force("across", forceX<Place>(0).strength(0.035))
    .force("down", forceY<Place>(0).strength(0.06));
  #places = new Map<string, Place>();
  /** Where nodes stood that are not there now: a filter takes them away and brings them back. */
  readonly #gone = new Map<string, Place>();
  #shape = "";

  get places(): ReadonlyMap<string, Place> {
    return this.#places;
  }

  get settled(): boolean {
    return this.#simulation.alpha() < this.#simulation.alphaMin();
  }

  /** These nodes and edges are there now; `still`: find their places at once. */
  show(
    nodes: readonly { id: string; radius: number }[],
    edges: readonly { source: string; target: string }[],
    still: boolean,
  ): void {
    const pairs = new Map(edges.map(({ source, target }) => [`${source}\n${target}`, { source, target }]));
    const shape = [...nodes.map(({ id }) => id).sort(), "", ...[...pairs.keys()].sort()].join("\n\n");
    for (const { id, radius } of nodes) {
      const place = this.#places.get(id);
      if (place) place.radius = radius;
    }
    if (shape === this.#shape) return;
    this.#shape = shape;
    const before = new Map([...this.#gone, ...this.#places]);
    const links = [...pairs.values()].filter(({ source, target }) => source !== target);
    this.#places = new Map(
      nodes.map((node, number) => [node.id, before.get(node.id) ?? beside(node, number, links, before)]),
    );
    this.#remember(before);
    const known = nodes.filter(({ id }) => before.has(id)).length;
    this.#simulation.nodes([...this.#places.values()]);
    this.#links.links(links.map((link) => ({ ...link })));
    this.#simulation.alpha(known ? (known === nodes.length ? WARM / 3 : WARM) : 1);
    if (!known) this.#steps(AHEAD);
    if (still) this.#steps(Number.POSITIVE_INFINITY);
  }

  /** One step; whether anything moved. */
  step(): boolean {
    if (this.settled) return false;
    this.#simulation.tick();
    return true;
  }

  /** A person puts a node there. */
  put(id: string, x: number, y: number): void {
    const place = this.#places.get(id);
    if (!place) return;
    Object.assign(place, { x, y, fx: x, fy: y });
    this.#simulation.alpha(Math.max(this.#simulation.alpha(), WARM / 2));
  }

  /** Let go of what was put somewhere, and find places anew. */
  arrange(still: boolean): void {
    for (const place of this.#places.values()) {
      place.fx = null;
      place.fy = null;
    }
    this.#simulation.alpha(1);
    if (still) this.#steps(Number.POSITIVE_INFINITY);
  }

  #remember(before: ReadonlyMap<string, Place>): void {
    this.#gone.clear();
    for (const [id, place] of before) if (!this.#places.has(id)) this.#gone.set(id, place);
    for (const id of this.#gone.keys()) {
      if (this.#gone.size <= REMEMBERED) break;
      this.#gone.delete(id);
    }
  }

  #steps(most: number): void {
    for (let step = 0; step < most && this.step(); step++);
  }
}

function beside(
  { id, radius }: { id: string; radius: number },
  number: number,
  links: readonly { source: string; target: string }[],
  before: ReadonlyMap<string, Place>,
): Place {
  // A spiral of sunflower seeds: no two begin in one place, and the same graph looks the same again.
  const angle = number * 2.4;
  const link = links.find(({ source, target }) =>
    source === id ? before.has(target) : target === id && before.has(source),
  );
  const neighbour = link && before.get(link.source === id ? link.target : link.source);
  const distance = neighbour ? DISTANCE / 2 : 30 * Math.sqrt(number + 0.5);
  return {
    id,
    radius,
    x: (neighbour?.x ?? 0) + distance * Math.cos(angle),
    y: (neighbour?.y ?? 0) + distance * Math.sin(angle),
  };
}

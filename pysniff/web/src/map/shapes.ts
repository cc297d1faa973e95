// How edges and nodes look: sizes by calls, widths by rate, curves that keep edges between the same two apart.

interface Point {
  x: number;
  y: number;
}

export interface Circle extends Point {
  radius: number;
}

export interface Curve {
  path: string;
  /** The arrow's head, and where a label stands. */
  head: string;
  x: number;
  y: number;
}

const BEND = 36; // between two edges that run beside each other
const HEAD = 7;
/** Of labels, by lane, so that those of edges side by side do not lie on each other. */
const PLACES = [0.5, 0.32, 0.66, 0.42, 0.58];

/** By calls, so that twice the area is ten times as many. */
export function radius(calls: number): number {
  return Math.min(30, 9 + 3.2 * Math.log10(1 + calls) ** 1.2);
}

/** By calls a second. */
export function width(rate: number): number {
  return Math.min(7, 1.3 + 0.8 * Math.log2(1 + rate));
}

/** From one circle to another; `lane` 0 is the straightest. */
export function curve(from: Circle, to: Circle, lane: number, thick: number): Curve {
  if (from === to) return loop(from, lane, thick);
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const far = Math.hypot(dx, dy) || 1;
  const bend = 14 + lane * BEND;
  const [mx, my] = [(from.x + to.x) / 2 + (dy / far) * bend, (from.y + to.y) / 2 - (dx / far) * bend];
  const start = toward(from, mx, my, from.radius + 1);
  const head = HEAD + thick;
  const end = toward(to, mx, my, to.radius + 2 + head * 0.8);
  return {
    path: `M${start} Q${one(mx)} ${one(my)} ${end}`,
    head: arrow(to, mx, my, head),
    ...along(from, { x: mx, y: my }, to, PLACES[lane % PLACES.length] ?? 0.5),
  };
}

/** Where on a quadratic curve: 0 at its beginning, 1 at its end. */
function along(from: Point, bend: Point, to: Point, at: number): Point {
  const mixed = (a: number, b: number, c: number) => (1 - at) ** 2 * a + 2 * at * (1 - at) * b + at ** 2 * c;
  return { x: mixed(from.x, bend.x, to.x), y: mixed(from.y, bend.y, to.y) };
}

/** To itself: above the circle. */
function loop(circle: Circle, lane: number, thick: number): Curve {
  const { x, y, radius } = circle;
  const high = 34 + lane * 24;
  const wide = 22 + lane * 10;
  const top = y - radius - high;
  const start = toward(circle, x - wide, top, radius + 1);
  const head = HEAD + thick;
  const end = toward(circle, x + wide, top, radius + 2 + head * 0.8);
  return {
    path: `M${start} C${one(x - wide)} ${one(top)} ${one(x + wide)} ${one(top)} ${end}`,
    head: arrow(circle, x + wide, top, head),
    x,
    y: y - radius - high * 0.75,
  };
}

function toward({ x, y }: Circle, tx: number, ty: number, distance: number): string {
  const far = Math.hypot(tx - x, ty - y) || 1;
  return `${one(x + ((tx - x) / far) * distance)} ${one(y + ((ty - y) / far) * distance)}`;
}

/** A triangle that points at the circle, coming from (fx, fy). */
function arrow({ x, y, radius }: Circle, fx: number, fy: number, size: number): string {
  const far = Math.hypot(fx - x, fy - y) || 1;
  const [ux, uy] = [(fx - x) / far, (fy - y) / far];
  const [tip, base, half] = [radius + 2, radius + 2 + size, size * 0.45];
  const corner = (along: number, across: number) =>
    `${one(x + ux * along - uy * across)} ${one(y + uy * along + ux * across)}`;
  return `M${corner(tip, 0)} L${corner(base, half)} L${corner(base, -half)} Z`;
}

function one(value: number): string {
  return value.toFixed(1);
}

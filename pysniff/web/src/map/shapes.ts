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
  /** The arrow's head. */
  head: string;
  /** A point of it: 0 at its beginning, 1 at its end. */
  at: (share: number) => Point;
}

const BEND = 36; // between two edges that run beside each other
const HEAD = 7;
const LINE = 16; // of a label's text
const LETTER = 7.5;
const NAMED = 34; // half the width of a node's name
/** Along its curve a label is tried here. */
const PLACES = [0.5, 0.4, 0.6, 0.32, 0.68, 0.25, 0.75];

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
    at: (share) => along(from, { x: mx, y: my }, to, share),
  };
}

function along(from: Point, bend: Point, to: Point, at: number): Point {
  const mixed = (a: number, b: number, c: number) => (1 - at) ** 2 * a + 2 * at * (1 - at) * b + at ** 2 * c;
  return { x: mixed(from.x, bend.x, to.x), y: mixed(from.y, bend.y, to.y) };
}

/** Where labels stand: on their curves, and not on each other or on a node where there is another place. */
export function spots(labels: readonly { curve: Curve; text: string }[], nodes: readonly Circle[]): Point[] {
  const taken: Box[] = nodes.map(({ x, y, radius }) => [x - NAMED, y - radius, x + NAMED, y + radius + LINE * 1.5]);
  return labels.map(({ curve, text }) => {
    const half = (text.length * LETTER) / 2;
    const boxes = PLACES.map((share): [Point, Box] => {
      const { x, y } = curve.at(share);
      return [{ x, y }, [x - half, y - LINE, x + half, y + LINE / 3]];
    });
    const [spot, box] = boxes.find(([, one]) => !taken.some((other) => meet(one, other))) ??
      boxes[0] ?? [curve.at(0.5), [0, 0, 0, 0]];
    taken.push(box);
    return spot;
  });
}

type Box = [left: number, top: number, right: number, bottom: number];

function meet(a: Box, b: Box): boolean {
  return a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
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
    at: () => ({ x, y: y - radius - high * 0.75 }),
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

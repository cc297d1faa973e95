// One chart (uPlot): a line for each series, over time; the three of the view share a cursor. Dragging over a span
// chooses it. What uPlot draws nobody can read out: the table below the charts has the same.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { colour, faded, repainted } from "./colours";

export interface Line {
  label: string;
  colour: string;
  /** Filled down to the line before it. */
  stacked?: boolean;
  dash?: number[];
}

interface Props {
  name: string;
  lines: readonly Line[];
  /** Seconds since 1970, then the values of each line. */
  data: uPlot.AlignedData;
  logarithmic?: boolean;
  format(value: number): string;
  onPoint(place: number | null): void;
  onRange(from: number, to: number): void;
}

const HEIGHT = 122;
const SECONDS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400, 172_800, 604_800,
  2_592_000,
];
const LEAST = 4; // pixels: a shorter drag is a click

export function Chart(props: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const shape = JSON.stringify(props.lines.map(({ label, colour, stacked }) => [label, colour, stacked]));

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const made = new uPlot(options(latest, element.clientWidth || 600), latest.current.data, element);
    plot.current = made;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth) made.setSize({ width: element.clientWidth, height: HEIGHT });
    });
    observer.observe(element);
    const unsubscribe = repainted.subscribe(() => made.redraw(false));
    return () => {
      unsubscribe();
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape]);

  useEffect(() => {
    if (plot.current && plot.current.data !== props.data) plot.current.setData(props.data);
  }, [props.data]);

  return <div class="chart" ref={box} role="img" aria-label={props.name} />;
}

function options(latest: { readonly current: Props }, width: number): uPlot.Options {
  const { lines, logarithmic } = latest.current;
  const axis = {
    stroke: () => colour("--faint"),
    grid: { stroke: () => colour("--line"), width: 1 },
    ticks: { stroke: () => colour("--line"), width: 1, size: 4 },
    font: "11px system-ui, sans-serif",
  };
  return {
    width,
    height: HEIGHT,
    padding: [8, 32, 0, 0], // the last label of the time is centred on its line
    legend: { show: false },
    cursor: {
      sync: { key: "figures" },
      drag: { x: true, y: false, setScale: false, dist: LEAST },
      points: { size: 5 },
    },
    scales: logarithmic
      ? { y: { distr: 3, range: (_, low, high) => decades(low, high) } }
      : { y: { range: (_, __, high) => [0, high > 0 ? high * 1.08 : 1] } },
    axes: [
      { ...axis, size: 24, incrs: SECONDS, values: (_, splits, __, ___, step) => splits.map((at) => time(at, step)) },
      {
        ...axis,
        size: 62,
        values: (_, splits) => splits.map((value) => (value == null ? "" : latest.current.format(value))),
        ...(logarithmic
          ? {
              filter: powersOfTen,
              grid: { ...axis.grid, filter: powersOfTen },
              ticks: { ...axis.ticks, filter: powersOfTen },
            }
          : {}),
      },
    ],
    series: [{}, ...lines.map(series)],
    bands: lines.flatMap(({ stacked, colour: name }, place) =>
      stacked && place > 0 && lines[place - 1]?.stacked
        ? [{ series: [place + 1, place] as [number, number], fill: () => faded(name, 0.35) }]
        : [],
    ),
    hooks: {
      setCursor: [({ cursor }) => latest.current.onPoint(cursor.idx ?? null)],
      setSelect: [
        (chart) => {
          const { left, width } = chart.select;
          if (width < LEAST) return;
          const [from, to] = [chart.posToVal(left, "x"), chart.posToVal(left + width, "x")];
          chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          latest.current.onRange(from, to);
        },
      ],
    },
  };
}

function series({ colour: name, stacked, dash }: Line, place: number): uPlot.Series {
  return {
    stroke: () => colour(name),
    width: 1.5,
    points: {
      show: true,
      size: 4,
      fill: () => colour(name),
      filter: (chart, number) => alone(chart.data[number] ?? []),
    },
    ...(stacked && place === 0 ? { fill: () => faded(name, 0.35) } : {}),
    ...(dash ? { dash } : {}),
  };
}

function decades(low: number | null, high: number | null): [number, number] {
  const from = 10 ** Math.floor(Math.log10(Math.max(1, low ?? 100)));
  return [from, Math.max(from * 10, 10 ** Math.ceil(Math.log10(Math.max(1, high ?? 1_000))))];
}

function powersOfTen(_: uPlot, splits: number[]): (number | null)[] {
  return splits.map((value) => {
    const exponent = Math.log10(value);
    return Math.abs(exponent - Math.round(exponent)) < 1e-6 ? value : null;
  });
}

/** Points without a neighbour: no line goes through them. */
function alone(values: ArrayLike<number | null | undefined>): number[] {
  const found: number[] = [];
  for (let place = 0; place < values.length; place++)
    if (values[place] != null && values[place - 1] == null && values[place + 1] == null) found.push(place);
  return found;
}

/** A moment on the axis, in local time of 24 hours. */
function time(second: number, step: number): string {
  const day = new Date(second * 1_000);
  const two = (value: number) => String(value).padStart(2, "0");
  if (step >= 86_400) return `${two(day.getMonth() + 1)}-${two(day.getDate())}`;
  const minutes = `${two(day.getHours())}:${two(day.getMinutes())}`;
  return step >= 60 ? minutes : `${minutes}:${two(day.getSeconds())}`;
}

// Requests, errors and latency over time, and what is called most: of the calls that this page has received.
import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { missed } from "../feed/store";
import { choose } from "../filter/time";
import { clock, count, duration } from "../format";
import { Chart, type Line } from "./chart";
import { protocolColour } from "./colours";
import { latencies, type Row, rates, rowsOf, shares } from "./curves";
import { ACCURACY } from "./histogram";
import { measured, received, shown } from "./received";
import { Table } from "./table";
import { useTicking } from "./ticking";
import { Top } from "./top";

const POINTS = 600;
const SPAN = 3_600; // seconds that are shown at most while calls come
const LEAST = 60; // at least

export function Figures() {
  useTicking();
  const place = useSignal<number | null>(null);
  const told = received();
  const version = shown.value;
  const picture = useMemo(() => measured(made), [version, told]);
  const { rows, step, protocols } = picture;
  const row = place.value === null ? null : (rows[place.value] ?? null);
  const range = (begin: number, end: number) => choose(begin * 1_000, end * 1_000);
  const share = { onPoint: (at: number | null) => (place.value = at), onRange: range };
  const lines: Line[] = protocols.map((label) => ({ label, colour: protocolColour(label), stacked: true }));
  const rateLines = [...lines, { label: "failed or unanswered", colour: "--bad", dash: [4, 3] }];
  if (!told.calls) return <p class="nothing">No calls yet: nothing to count.</p>;
  return (
    <div class="figures">
      <Account step={step} />
      <Titled
        name="Calls a second"
        lines={rateLines}
        values={row && [...row.protocols, (row.errors + row.unanswered) / step].map(rate)}
        row={row}
      >
        <Chart name={spoken("Calls a second", rows)} lines={rateLines} data={picture.rates} format={rate} {...share} />
      </Titled>
      <Titled
        name="Failed or unanswered"
        lines={SHARE}
        values={row && [row.share === null ? "–" : percent(row.share)]}
        row={row}
      >
        <Chart
          name="Failed or unanswered, per cent of calls"
          lines={SHARE}
          data={picture.shares}
          format={percent}
          {...share}
        />
      </Titled>
      <Titled name="Latency" lines={LATENCY} values={row && [row.p50, row.p90, row.p99].map(duration)} row={row}>
        <Chart
          name="Latency: p50, p90 and p99"
          lines={LATENCY}
          data={picture.latencies}
          logarithmic
          format={duration}
          {...share}
        />
      </Titled>
      <Table rows={rows} step={step} protocols={protocols} />
      <Top endpoints={told.endpoints} />
    </div>
  );
}

const SHARE: Line[] = [{ label: "of all calls", colour: "--bad", stacked: true }];
const LATENCY: Line[] = [
  { label: "p50", colour: "--good" },
  { label: "p90", colour: "--warn" },
  { label: "p99", colour: "--bad" },
];

function made() {
  const told = received();
  const { series, arrivals, goesOn } = told;
  const end = told.calls ? told.now(Date.now()) : 0;
  const begin = !told.calls
    ? 0
    : goesOn
      ? Math.max(Math.min(arrivals.oldest, end - LEAST), end - SPAN)
      : arrivals.oldest;
  const points = series.points(begin, end, POINTS);
  const { protocols } = series;
  const rows = rowsOf(points, protocols.length);
  return {
    ...{ rows, step: points.step, protocols },
    rates: rates(rows, protocols.length, points.step),
    shares: shares(rows),
    latencies: latencies(rows),
  };
}

function Account({ step }: { step: number }) {
  shown.value;
  const { since, series, arrivals, calls } = received();
  const time = (second: number) => clock(new Date(second * 1_000).toISOString()).slice(0, 8);
  return (
    <p class="account" role="note">
      <b>{count(calls)}</b> calls received since {time(since / 1_000)}, begun {time(arrivals.oldest)} to{" "}
      {time(arrivals.newest)}. Others that are stored are in no figure here.
      {missed.value > 0 && <span class="lack"> {count(missed.value)} were missed: this page read too slowly.</span>}
      {series.older > 0 && <span class="lack"> {count(series.older)} are older than six weeks.</span>}{" "}
      <span class="faint">
        A point is {duration(step * 1e6)}; percentiles within {(ACCURACY * 100).toFixed(1)} %. Drag over a chart to
        choose a time.
      </span>
    </p>
  );
}

function Titled(props: {
  name: string;
  lines: readonly Line[];
  values: readonly string[] | null;
  row: Row | null;
  children: preact.ComponentChildren;
}) {
  return (
    <section class="titled" aria-label={props.name}>
      <h2>
        {props.name}
        {props.row && <time class="faint">{clock(new Date(props.row.begin * 1_000).toISOString()).slice(0, 8)}</time>}
        {props.lines.map(({ label, colour, dash }, place) => (
          <span class="key" key={label}>
            <i class={dash ? "dashed" : ""} style={{ borderColor: `var(${colour})` }} /> {label}
            {props.values && <b> {props.values[place]}</b>}
          </span>
        ))}
      </h2>
      {props.children}
    </section>
  );
}

function spoken(name: string, rows: readonly Row[]): string {
  const most = Math.max(0, ...rows.map((row) => row.rate));
  return `${name}: ${rate(most)} at most; the table of figures has each point`;
}

function rate(value: number): string {
  return value >= 1_000 ? count(Math.round(value)) : String(Number(value.toPrecision(3)));
}

function percent(value: number): string {
  return `${Number(value.toPrecision(3))} %`;
}

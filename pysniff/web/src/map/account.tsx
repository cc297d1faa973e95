// What the map is of, and what it is not of: since when, how many calls, what is missing and why.
import type { ComponentChildren } from "preact";
import { missed } from "../feed/store";
import { ACCURACY } from "../figures/histogram";
import { received, shown } from "../figures/received";
import { clock, count, duration } from "../format";
import { seconds, source } from "./current";
import { WINDOW } from "./model";
import { asking, problem, question, refresh, stored } from "./stored";

export function Account() {
  return source.value === "stored" ? <OfStored /> : <OfReceived />;
}

function OfReceived() {
  shown.value;
  const { map, arrivals, since, goesOn, calls } = received();
  return (
    <p class="account" role="note">
      <b>{count(calls)}</b> calls received since {clock(new Date(since).toISOString()).slice(0, 8)}
      {calls > 0 && (
        <>
          , begun {clock(moment(arrivals.oldest)).slice(0, 8)} to {clock(moment(arrivals.newest)).slice(0, 8)}
        </>
      )}
      .{missed.value > 0 && <Lack>{count(missed.value)} more were missed: this page read too slowly.</Lack>}
      {map.beyond > 0 && (
        <Lack>{count(map.beyond)} are of services beyond the 2,000 addresses and 5,000 edges kept.</Lack>
      )}
      {arrivals.forgotten > 0 && <Lack>{count(arrivals.forgotten)} open calls were too many to wait for.</Lack>}{" "}
      <span class="faint">
        Rates: {goesOn ? `last ${WINDOW} s` : `mean of ${duration(seconds.value * 1e6)}`}. Percentiles within{" "}
        {(ACCURACY * 100).toFixed(1)} %.
      </span>
    </p>
  );
}

function OfStored() {
  const told = stored.value;
  const failed = Object.entries(told?.services.nodes_failed ?? {});
  return (
    <p class="account" role="note">
      {told && (
        <>
          <b>{count(told.services.calls)}</b> calls stored
          {told.services.from && told.services.to && (
            <>
              , begun {clock(told.services.from).slice(0, 8)} to {clock(told.services.to).slice(0, 8)}
            </>
          )}
          {told.question !== question.value && <Lack>by another filter or time</Lack>}; asked at{" "}
          {clock(new Date(told.at).toISOString()).slice(0, 8)}, took {duration(told.took * 1_000)}.
          {told.services.duplicates > 0 && (
            <> {count(told.services.duplicates)} sightings of the same calls on another node count once.</>
          )}
          {told.services.truncated > 0 && (
            <Lack>
              {count(told.services.truncated)} calls are beyond the bounds (a million calls, 20,000 edges): in no
              figure.
            </Lack>
          )}
          {failed.map(([node, why]) => (
            <Lack key={node}>
              Nothing of <span class="captured">{node}</span>: <span class="captured">{why}</span>.
            </Lack>
          ))}{" "}
          <span class="faint">Rates: mean of {duration(seconds.value * 1e6)}. Percentiles exact. </span>
        </>
      )}
      {problem.value && (
        <Lack>
          {problem.value.message}
          {problem.value.hint && ` (${problem.value.hint})`}
        </Lack>
      )}
      <button
        type="button"
        onClick={refresh}
        disabled={asking.value}
        title="Each worker reads what it has stored of this window; asked at most every ten seconds"
      >
        {asking.value ? "Asking…" : "Refresh"}
      </button>
    </p>
  );
}

function Lack({ children }: { children: ComponentChildren }) {
  return <span class="lack"> {children}</span>;
}

function moment(second: number): string {
  return new Date(second * 1_000).toISOString();
}

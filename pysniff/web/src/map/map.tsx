// Who calls whom: services as nodes, calls as edges with rate, errors and latency; a click filters the feed.
import { useEffect } from "preact/hooks";
import { useTicking } from "../figures/ticking";
import { Account } from "./account";
import { Chosen } from "./chosen";
import { by, chosenBy, type Form, form, graph, ONLY_RECEIVED, type Source, show, source } from "./current";
import { Drawing } from "./drawing";
import type { By } from "./graph";
import { asking, wanted } from "./stored";
import { Edges } from "./table";

const SOURCES: Record<Source, [name: string, title: string]> = {
  received: ["Received", "The calls that this page has received: free, and as new as the feed"],
  stored: ["Stored", "Every call that the nodes have stored in the window of the address: each worker reads its store"],
};
const FORMS: Record<Form, string> = { drawing: "Drawing", table: "Table" };
const GROUPS: Record<By, [name: string, title: string]> = {
  service: ["service", "A name, with all addresses that had it; an address that nobody named"],
  port: ["service and port", "Each port of a service is a node of its own, as on one machine"],
  namespace: ["namespace", "The label behind the service's own: of cart.shop.svc.cluster.local it is shop"],
  machine: ["node", "The machine that saw every call of a service: where it runs, if each node has a worker"],
  address: ["address", "No grouping: names say nothing"],
};

export function ServiceMap() {
  useTicking();
  useEffect(() => {
    wanted.value = source.value === "stored";
    return () => {
      wanted.value = false;
    };
  }, [source.value]);
  const told = graph.value;
  const empty = !told.edges.length;
  return (
    <div class="map">
      <div class="map-controls">
        <fieldset class="switch">
          <legend class="hidden">Calls of the map</legend>
          {(Object.keys(SOURCES) as Source[]).map((name) => (
            <button
              type="button"
              key={name}
              aria-pressed={source.value === name}
              title={SOURCES[name][1]}
              onClick={() => (source.value = name)}
            >
              {SOURCES[name][0]}
            </button>
          ))}
        </fieldset>
        <span>
          by{" "}
          <select
            aria-label="Group by"
            value={by.value}
            title={GROUPS[by.value][1]}
            onChange={(event) => {
              chosenBy.value = event.currentTarget.value as By;
            }}
          >
            {(Object.keys(GROUPS) as By[]).map((name) => {
              const lacking = source.value === "stored" && ONLY_RECEIVED.includes(name);
              return (
                <option key={name} value={name} disabled={lacking} title={GROUPS[name][1]}>
                  {GROUPS[name][0]}
                  {lacking ? " (received only)" : ""}
                </option>
              );
            })}
          </select>
        </span>
        <fieldset class="switch">
          <legend class="hidden">Form of the map</legend>
          {(Object.keys(FORMS) as Form[]).map((name) => (
            <button type="button" key={name} aria-pressed={form.value === name} onClick={() => show(name)}>
              {FORMS[name]}
            </button>
          ))}
        </fieldset>
        <Account />
      </div>
      <div class="map-body">
        {empty ? (
          <p class="nothing">
            {source.value === "stored" && asking.value ? "Asking the workers…" : "No calls yet: nobody calls anybody."}
          </p>
        ) : form.value === "drawing" ? (
          <Drawing graph={told} />
        ) : (
          <Edges graph={told} />
        )}
        <Chosen graph={told} />
      </div>
      {!empty && form.value === "drawing" && <Legend />}
    </div>
  );
}

function Legend() {
  return (
    <p class="map-legend faint">
      <span>
        <i data-trouble="none" /> no errors
      </span>
      <span>
        <i data-trouble="some" /> under 5 % failed or unanswered
      </span>
      <span>
        <i data-trouble="much" /> 5 % or more
      </span>
      <span>width: calls/s</span>
      <span>circle: calls; hollow: only calls others</span>
      <span>beside an edge: protocol, rate, p90</span>
    </p>
  );
}

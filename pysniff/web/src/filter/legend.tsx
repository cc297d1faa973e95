// The protocols that were seen, with their colours and counts. A click switches one off or on in the filter itself.
import { filter } from "../address";
import { count } from "../format";
import { counts } from "./counts";
import { all, alone, colour, isOn, switched, turned } from "./protocols";

// As people look for them; what else there is comes behind, by name.
const ORDER = ["http", "grpc", "ws", "dns", "redis", "tlsx"];
const MORE: Record<string, string> = {
  http: "HTTP/1 and HTTP/2; gRPC and messages of WebSockets have chips of their own",
  tcp: "conversations of TCP that nobody recognised",
  udp: "conversations of UDP that nobody recognised",
};

export function Legend() {
  const state = switched(filter.value);
  const names = [...new Set([...counts.value.keys(), ...state.off, ...(state.only ?? [])])].filter((name) => name);
  const place = (name: string) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  names.sort((one, other) => place(one) - place(other) || one.localeCompare(other));
  const some = state.off.size > 0 || state.only !== null;
  return (
    <fieldset class="legend">
      <legend class="hidden">Protocols</legend>
      {some && (
        <button
          type="button"
          class="legend-all quiet"
          onClick={() => {
            filter.value = all(filter.value);
          }}
        >
          All protocols
        </button>
      )}
      {names.map((name) => (
        <Chip key={name} name={name} on={isOn(state, name)} />
      ))}
    </fieldset>
  );
}

/** The chip that was clicked first: its neighbours may move under the pointer before a second click. */
let clicked = "";

function Chip({ name, on }: { name: string; on: boolean }) {
  const seen = counts.value.get(name) ?? 0;
  const only = (event: MouseEvent | KeyboardEvent, which: string) => {
    event.preventDefault();
    filter.value = alone(filter.value, which);
  };
  return (
    <button
      type="button"
      class="chip captured"
      style={{ "--chip": colour(name) }}
      aria-pressed={on}
      title={`${MORE[name] ? `${name}: ${MORE[name]}\n` : ""}Click: ${on ? "hide" : "show"} ${name} · double or shift click: only ${name}`}
      onClick={(event) => {
        if (event.detail === 2) return only(event, clicked);
        clicked = name;
        if (event.shiftKey) only(event, name);
        else filter.value = turned(filter.value, name);
      }}
      onKeyDown={(event) => event.key === "Enter" && event.shiftKey && only(event, name)}
    >
      <span class="chip-dot" aria-hidden="true" />
      {name}
      <span class="chip-count">{on ? count(seen) : "–"}</span>
    </button>
  );
}

// Server-sent events: one a row, with what each says opened on demand.
import { useMemo, useState } from "preact/hooks";
import { count } from "../../format";
import { Rows } from "../rows";
import { inLine } from "../visible";
import { BodyView } from "./body";
import { content } from "./content";
import { events } from "./event_stream";

const HEIGHT = 22;
const SHORT = 300; // characters

export function EventsView({ text, label }: { text: string; label: string }) {
  const { events: all, more } = useMemo(() => events(text), [text]);
  const [open, setOpen] = useState(-1);
  const one = all[open];
  const inner = useMemo(() => content({ text: one?.data ?? "" }, ""), [one]);
  return (
    <div class="events">
      <p class="faint">
        {count(all.length)} {all.length === 1 ? "event" : "events"}
        {more && ", and more"}
      </p>
      <Rows
        count={all.length}
        height={HEIGHT}
        reveal={open}
        attributes={{ role: "group", "aria-label": label, tabIndex: -1 }}
        row={(place) => {
          const event = all[place];
          if (!event) return null;
          return (
            <button
              type="button"
              key={place}
              class="event-row"
              aria-expanded={place === open}
              onClick={() => setOpen(place === open ? -1 : place)}
            >
              <span class="faint">{count(place + 1)}</span>
              <span class="key captured">{inLine(event.event.slice(0, 60))}</span>
              {event.id && <span class="faint captured">#{inLine(event.id.slice(0, 40))}</span>}
              <span class="captured data">{inLine(event.data.slice(0, SHORT))}</span>
              {event.cut && <span class="warn">not ended</span>}
            </button>
          );
        }}
      />
      {one && <BodyView content={inner} label={`event ${open + 1}`} name={`event-${open + 1}`} />}
    </div>
  );
}

// text/event-stream as its events (HTML, "Interpreting an event stream").

export const EVENTS = 5_000;

export interface ServerEvent {
  event: string;
  id: string;
  data: string;
  /** The stream ends, or is cut, within it. */
  cut: boolean;
}

export function events(text: string): { events: ServerEvent[]; more: boolean } {
  const found: ServerEvent[] = [];
  let id = "";
  let event = "";
  let data: string[] = [];
  const end = (cut: boolean) => {
    if (data.length) found.push({ event: event || "message", id, data: data.join("\n"), cut });
    event = "";
    data = [];
  };
  for (const line of lines(text.replace(/^\ufeff/, ""))) {
    if (found.length === EVENTS) return { events: found, more: true };
    if (!line) {
      end(false);
      continue;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") event = value;
    else if (name === "data") data.push(value);
    else if (name === "id") id = value;
  }
  end(true);
  return { events: found, more: false };
}

function* lines(text: string): Generator<string> {
  const form = /([^\r\n]*)(\r\n|\r|\n)/y;
  let at = 0;
  for (let found = form.exec(text); found; found = form.exec(text)) {
    at = form.lastIndex;
    yield found[1] ?? "";
  }
  if (at < text.length) yield text.slice(at);
}

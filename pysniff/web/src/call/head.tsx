// The top of the pane: what the call is, who talked to whom, how it went, and what can be done with it.
import { call, compared } from "../address";
import type { Endpoint, Entry } from "../entry";
import { move, unchoose } from "../feed/choice";
import { colour } from "../filter/protocols";
import { Value } from "../filter/value";
import { clock, duration, size } from "../format";
import { CopyMenu } from "./copy_menu";
import { COMPLETENESS } from "./faults";
import type { Full } from "./loaded";
import { Long } from "./long";
import { show } from "./shown";

export function Head({ full }: { full: Full }) {
  const { entry } = full;
  const isOpen = entry.state === "open";
  return (
    <header class="call-head">
      <div class="call-title">
        <span class="badge" style={{ color: colour(entry.protocol) }}>
          {entry.protocol}
        </span>
        <h2 class="mono">
          <Title entry={entry} />
        </h2>
        <Actions full={full} />
      </div>
      <div class="call-facts">
        <Status entry={entry} />
        {entry.version && <span class="faint">{versioned(entry)}</span>}
        <time dateTime={entry.timestamp} title={entry.timestamp}>
          {clock(entry.timestamp)}
        </time>
        {entry.elapsed_time !== null && (
          <span title={`From the first byte of the request to the last of the response${isOpen ? " so far" : ""}`}>
            {duration(entry.elapsed_time)}
          </span>
        )}
        <Sizes entry={entry} />
        <span class="ends mono">
          <End end={entry.src} side="src" /> <span aria-hidden="true">→</span> <End end={entry.dst} side="dst" />
        </span>
        <span class="faint">
          on{" "}
          {entry.nodes.map((node) => (
            <Value key={node} variable="node_name" value={node} />
          ))}
        </span>
        {entry.tls && <span class="good">TLS {entry.tls.version}</span>}
        {isOpen && <span class="warn">open</span>}
        {entry.completeness !== "complete" && (
          <span class="warn">
            <Value variable="completeness" value={entry.completeness}>
              {COMPLETENESS[entry.completeness]}
            </Value>
          </span>
        )}
      </div>
    </header>
  );
}

function Title({ entry }: { entry: Entry }) {
  const request = entry.request;
  if (entry.protocol === "http" && request?.method) {
    return (
      <>
        {request.method} <Long text={request.url ?? ""} short={200} />
      </>
    );
  }
  return <Long text={entry.summary} short={200} />;
}

function Status({ entry }: { entry: Entry }) {
  const bad = !entry.ok && (entry.state === "closed" || entry.status !== "");
  const words = entry.status || (entry.protocol === "ws" || !bad ? "" : "no response");
  if (!words) return null;
  const kind = bad ? "bad" : /^3\d\d$/.test(entry.status) ? "moved" : "good";
  return <strong class={`pill ${kind}`}>{words}</strong>;
}

function versioned({ protocol, version }: Entry): string {
  if (protocol === "http") return `HTTP/${version}`;
  return protocol === "grpc" ? `over HTTP/${version}` : `version ${version}`;
}

function Sizes({ entry }: { entry: Entry }) {
  const sent = bytesOf(entry.request);
  const got = bytesOf(entry.response);
  return (
    <span title="Bodies as they were sent: of the request, of the response">
      {sent !== null && <span>↑ {size(sent)} </span>}
      {got !== null && <span>↓ {size(got)}</span>}
    </span>
  );
}

function bytesOf(message: Entry["request"]): number | null {
  if (!message) return null;
  const whole = message.body?.encoded_size ?? message.encoded_size ?? message.size ?? message.bytes;
  return typeof whole === "number" ? whole : null;
}

function End({ end, side }: { end: Endpoint; side: "src" | "dst" }) {
  return (
    <>
      {end.name && (
        <Value variable={`${side}.name`} value={end.name}>
          {end.name.slice(0, 80)}
        </Value>
      )}
      {end.name && " "}
      <span class={end.name ? "faint" : ""}>
        <Value variable={`${side}.ip`} value={end.ip}>
          {end.ip.includes(":") ? `[${end.ip}]` : end.ip}
        </Value>
        :
        <Value variable={`${side}.port`} value={end.port} />
      </span>
    </>
  );
}

function Actions({ full }: { full: Full }) {
  const { id } = full.entry;
  const marked = compared.value === id;
  const title = marked
    ? "This call is what the next one that you choose is compared with"
    : compared.value
      ? "Compare no more"
      : "Then choose another call";
  return (
    <div class="actions">
      <button
        type="button"
        class="action quiet"
        onClick={() => move(-1)}
        aria-label="Call before"
        title="Call before (up)"
      >
        ↑
      </button>
      <button
        type="button"
        class="action quiet"
        onClick={() => move(1)}
        aria-label="Next call"
        title="Next call (down)"
      >
        ↓
      </button>
      <button
        type="button"
        class="action"
        aria-pressed={compared.value !== ""}
        title={title}
        onClick={() => {
          compared.value = compared.value ? "" : id;
          if (!compared.value) show("overview");
        }}
      >
        Compare
      </button>
      <CopyMenu full={full} />
      <a
        class="action"
        href={`/api/entries/${encodeURIComponent(id)}/pcap`}
        download
        title="Its packets, for Wireshark"
      >
        pcapng
      </a>
      <button type="button" class="action quiet" onClick={close} aria-label="Close the call" title="Close (escape)">
        ✕
      </button>
    </div>
  );
}

/** The list has the keyboard again where it had it before. */
export function close(): void {
  if (call.value) unchoose();
}

// What both ends of a connection said, byte by byte, in order of time.
import { signal } from "@preact/signals";
import { useMemo, useState } from "preact/hooks";
import type { Entry } from "../entry";
import { count, endpoint, size } from "../format";
import { ofStream } from "./addresses";
import { between, type Capture, load } from "./capture";
import { letter, two } from "./hex";
import { since } from "./list";
import { AskAgain, type Last, Refusal, useLoaded } from "./loaded";
import { Account } from "./packets";
import { reassemble, type Side } from "./reassembly";
import { moved, Rows } from "./rows";
import { hexRows, MOST_SHOWN, type Row, textRows, turns } from "./transcript";

const ROW = 18;
const LETTER = 7.3; // pixels of a character, a little more than it takes
const MARGIN = 40;
const last: Last<Capture> = { key: "", value: null };
/** Who looks at hexadecimal numbers looks at those of the next call, too. */
const form = signal<"text" | "hex">("text");
const SIDES: Record<Side, string> = { client: "Client", server: "Server" };

export function Bytes({ entry }: { entry: Entry }) {
  const [loaded, again] = useLoaded(entry.stream, (signal) => load(ofStream(entry), signal), last);
  if (loaded.state === "loading") return <p class="packets-wait faint">Asking for the connection's packets …</p>;
  if (loaded.state === "refused") return <Refusal problem={loaded.problem} again={again} />;
  return <Transcript capture={loaded.value} entry={entry} again={again} />;
}

function Transcript({ capture, entry, again }: { capture: Capture; entry: Entry; again: () => void }) {
  const [width, measure] = useState(600);
  const [at, go] = useState(0);
  const packets = useMemo(() => between(capture.lines, entry.src, entry.dst), [capture]);
  const conversation = useMemo(() => reassemble(packets), [packets]);
  const datagrams = packets.some(({ facts }) => facts.protocol === "UDP");
  const { said, left } = useMemo(() => turns(conversation, datagrams), [conversation, datagrams]);
  const hex = form.value === "hex";
  const columns = hex ? (width >= 560 ? 16 : 8) : Math.max(20, Math.floor((width - MARGIN) / LETTER));
  const rows = useMemo(() => (hex ? hexRows : textRows)(said, columns), [said, hex, columns]);
  const first = capture.lines[0]?.packet.time ?? null;
  const copies = capture.lines.filter((line) => line.copyOf !== null).length;
  const others = capture.lines.length - packets.length - copies;
  const { bytes, missing } = conversation;
  const lost = missing.client + missing.server;
  const key = (event: KeyboardEvent) => {
    const to = moved(event.key, at, rows.length, 25);
    if (to === null || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    go(to);
  };
  return (
    <section class="transcript" aria-label="Bytes of the connection">
      <header class="packets-bar">
        <fieldset class="choice">
          <legend class="hidden">Bytes as</legend>
          {(["text", "hex"] as const).map((one) => (
            <button
              type="button"
              key={one}
              aria-pressed={form.value === one}
              onClick={() => {
                form.value = one;
              }}
            >
              {one === "text" ? "Text" : "Hex"}
            </button>
          ))}
        </fieldset>
        <span class="side client">
          Client <span class="faint captured">{endpoint(entry.src)}</span> {size(bytes.client)}
        </span>
        <span class="side server">
          Server <span class="faint captured">{endpoint(entry.dst)}</span> {size(bytes.server)}
        </span>
        <AskAgain again={again} />
      </header>
      <Account capture={capture} again={again} />
      {(lost > 0 || left > 0 || others > 0 || copies > 0) && (
        <p class="packets-account">
          {lost > 0 && (
            <span>
              {count(lost)} bytes are not in these packets, and stand as gaps: they were not captured, were dropped from
              the store, or belong to no call.{" "}
            </span>
          )}
          {left > 0 && (
            <span>
              The first {size(MOST_SHOWN)} are shown, {size(left)} more are not.{" "}
            </span>
          )}
          {copies > 0 && (
            <span>
              {count(copies)} {copies === 1 ? "packet" : "packets"} seen on two interfaces {copies === 1 ? "is" : "are"}{" "}
              read once.{" "}
            </span>
          )}
          {others > 0 && (
            <span>
              {count(others)} {others === 1 ? "packet is" : "packets are"} not between these two ends as the page reads
              them: in a tunnel, or later parts of a datagram.
            </span>
          )}
        </p>
      )}
      {rows.length === 0 ? (
        <p class="packets-wait">Nothing was said in the packets that are stored.</p>
      ) : (
        <Rows
          class="said-rows mono"
          role="log"
          aria-live="off"
          aria-label="What was said, in order of time"
          tabIndex={0}
          onKeyDown={key}
          count={rows.length}
          height={ROW}
          shown={at < rows.length ? at : null}
          measured={measure}
          row={(index, style) => (
            <div key={index} style={style} class="said-row">
              <Said row={rows[index] as Row} first={first} columns={columns} />
            </div>
          )}
        />
      )}
    </section>
  );
}

function Said({ row, first, columns }: { row: Row; first: bigint | null; columns: number }) {
  switch (row.kind) {
    case "turn": {
      const { side, at, packets, bytes } = row.turn;
      const numbers = packets.length > 3 ? `${packets.slice(0, 2).join(", ")} … ${packets.at(-1)}` : packets.join(", ");
      return (
        <div class={`turn ${side}`}>
          <b>{SIDES[side]}</b> <span>{since(first, at)}</span> {count(bytes.length)} bytes{" "}
          <span class="faint">
            {packets.length === 1 ? "packet" : "packets"} {numbers}
          </span>
        </div>
      );
    }
    case "text":
      return (
        <div class={`spoken ${row.turn.side}`}>
          <Letter side={row.turn.side} />
          <span class="captured">{row.text}</span>
        </div>
      );
    case "line": {
      const { turn, from, to } = row;
      const part = Array.from(turn.bytes.subarray(from, to));
      const octets = part.map((byte, at) => (at === 8 ? ` ${two(byte)}` : two(byte))).join(" ");
      return (
        <div class={`spoken ${turn.side}`}>
          <Letter side={turn.side} />
          <span class="faint">{(turn.offset + from).toString(16).padStart(6, "0")} </span>
          <span class="octets">{octets.padEnd(columns * 3 + 1)} </span>
          <span class="captured">{part.map(letter).join("")}</span>
        </div>
      );
    }
    case "piece":
      return <Between row={row.piece} first={first} />;
  }
}

function Between({ row, first }: { row: Extract<Row, { kind: "piece" }>["piece"]; first: bigint | null }) {
  const who = SIDES[row.side];
  switch (row.kind) {
    case "gap":
      return (
        <div class={`missing ${row.side}`}>
          ⋯ {who}: {count(row.length)} bytes are missing here
        </div>
      );
    case "again":
      return (
        <div class={`again ${row.side}`}>
          ↻ {who} {since(first, row.at)}: {count(row.length)} bytes came again
          {row.same ? ", the same" : ", with other content: what came first is shown"} (packet {row.packets.join(", ")})
        </div>
      );
    case "event": {
      const words = { SYN: "opens the connection", FIN: "has said everything", RST: "resets the connection" }[row.what];
      return (
        <div class={`event ${row.side}`}>
          ● {who} {since(first, row.at)} {words} ({row.what}, packet {row.packets.join(", ")})
        </div>
      );
    }
  }
}

function Letter({ side }: { side: Side }) {
  return (
    <span class="letter" title={SIDES[side]}>
      {side === "client" ? "C" : "S"}
    </span>
  );
}

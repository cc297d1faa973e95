// The packets of a call, Wireshark in small: a list, the layers of one, and its bytes, each leading to the other.
import { useLayoutEffect, useMemo, useState } from "preact/hooks";
import type { Entry } from "../entry";
import { count, size } from "../format";
import { ofCall, ofStream } from "./addresses";
import { type Capture, type Line, load } from "./capture";
import { Download } from "./download";
import { Hex } from "./hex";
import { dissect } from "./layers";
import { PacketList } from "./list";
import { Refusal, useLoaded } from "./loaded";
import { LIMITS } from "./pcapng";
import type { Field } from "./terms";
import { fieldAt, LayerTree } from "./tree";

export function Packets({ entry }: { entry: Entry }) {
  // A call that is still open is another one with each revision.
  const key = `${entry.id} ${entry.state} ${entry.completed ?? ""}`;
  const [loaded, again] = useLoaded(key, (signal) => load(ofCall(entry), signal));
  if (loaded.state === "loading") return <p class="packets-wait faint">Asking for the packets …</p>;
  if (loaded.state === "refused") return <Refusal problem={loaded.problem} again={again} />;
  return <Viewer capture={loaded.value} entry={entry} again={again} />;
}

function Viewer({ capture, entry, again }: { capture: Capture; entry: Entry; again: () => void }) {
  const [chosen, choose] = useState(0);
  const [field, point] = useState<Field | null>(null);
  const line = capture.lines[Math.min(chosen, capture.lines.length - 1)];
  const layers = useMemo(() => (line ? dissect(line.packet, line.bases).layers : []), [line]);
  // The same layer of the next packet: who compares windows need not look for the field again.
  // Not everything that is used: only where another packet is looked at
  useLayoutEffect(() => point((field) => field && like(layers, field)), [layers]);
  const wire = capture.lines.reduce((sum, one) => sum + one.packet.wire, 0);
  return (
    <section class="packets" aria-label="Packets of the call">
      <header class="packets-bar">
        <span>
          {count(capture.lines.length)} {capture.lines.length === 1 ? "packet" : "packets"}, {size(wire)}
        </span>
        <Download href={ofCall(entry)}>pcapng of the call</Download>
        <Download href={ofStream(entry)}>of its connection</Download>
      </header>
      <Account capture={capture} again={again} />
      {line ? (
        <>
          <PacketList capture={capture} chosen={chosen} choose={choose} />
          <div class="packet-detail">
            <div class="packet-layers">
              <About line={line} />
              <LayerTree layers={layers} chosen={field} choose={point} />
            </div>
            <Hex
              label={`Packet ${line.packet.number}`}
              data={line.packet.data}
              from={field?.from ?? 0}
              to={field?.to ?? 0}
              choose={(at) => point(fieldAt(layers, at))}
            />
          </div>
        </>
      ) : (
        <p class="packets-wait">The file has no packets. What the store has dropped meanwhile is gone.</p>
      )}
    </section>
  );
}

/** What of it is missing, and why. Nothing where all is there. */
export function Account({ capture, again }: { capture: Capture; again: () => void }) {
  const { broken, more, notes, faults, faultCount, lines } = capture;
  if (!broken && !more && notes.length === 0 && faultCount === 0) return null;
  return (
    <div class="packets-account" role="status">
      {broken && (
        <p class="bad">
          The hub broke the transfer off behind {count(lines.length)} packets: some are missing.{" "}
          <button type="button" onClick={again}>
            Ask again
          </button>
        </p>
      )}
      {notes.map((note) => (
        <p class="bad captured" key={note}>
          {note}
        </p>
      ))}
      {more && (
        <p>
          There are more: {count(lines.length)} packets are shown ({count(LIMITS.packets)} packets or{" "}
          {size(LIMITS.bytes)} at most). The download has all of them.
        </p>
      )}
      {faultCount > 0 && (
        <details>
          <summary>
            The file has {count(faultCount)} {faultCount === 1 ? "fault" : "faults"}
          </summary>
          <ul>
            {faults.map((fault, index) => (
              <li key={index}>{fault}</li>
            ))}
          </ul>
        </details>
      )}
    </div>
  );
}

/** What stands beside the packet's bytes in the file. */
function About({ line }: { line: Line }) {
  const { packet } = line;
  const cut = packet.wire - packet.data.length;
  const when = packet.time === null ? "" : new Date(Number(packet.time / 1_000_000n)).toISOString().slice(0, 19);
  const rest = packet.time === null ? "" : `.${String(packet.time % 1_000_000_000n).padStart(9, "0")}Z`;
  return (
    <div class="packet-about">
      <p class="faint mono captured">
        {when.replace("T", " ")}
        {rest} · {packet.interface.name || "no interface named"} · {count(packet.wire)} bytes
        {cut > 0 && `, of which the capture kept ${count(packet.data.length)}`}
      </p>
      {packet.comments.map((comment, index) => (
        <p class="packet-comment captured" key={index}>
          <span aria-hidden="true">✎ </span>
          <span class="hidden">Comment: </span>
          {comment}
        </p>
      ))}
    </div>
  );
}

/** The field of the same names in other layers. */
function like(layers: readonly Field[], field: Field): Field | null {
  for (const one of layers) {
    if (one.name === field.name) return one;
    const within = like(one.fields, field);
    if (within) return within;
  }
  return null;
}

// The packets of a capture, one a row.
//
// biome-ignore-all lint/a11y/useSemanticElements: a <select> has neither columns nor rows that exist only in sight
import type { Capture, Line } from "./capture";
import { moved, Rows } from "./rows";
import { info } from "./summary";

const ROW = 22; // pixels
const HEAD = 24;
const AT_ONCE = 12; // rows for which it grows

export function PacketList({
  capture,
  chosen,
  choose,
}: {
  capture: Capture;
  chosen: number;
  choose: (index: number) => void;
}) {
  const { lines } = capture;
  const first = lines[0]?.packet.time ?? null;
  const key = (event: KeyboardEvent) => {
    const to = moved(event.key, chosen, lines.length);
    if (to === null || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    choose(to);
  };
  return (
    <div class="packet-table" style={{ flexBasis: `${HEAD + Math.min(lines.length, AT_ONCE) * ROW}px` }}>
      <div class="packet-row packet-head" aria-hidden="true">
        {["No.", "Time", "From", "To", "Layer", "Bytes", "Info"].map((name) => (
          <span key={name}>{name}</span>
        ))}
      </div>
      <Rows
        class="packet-rows mono"
        role="listbox"
        aria-label="Packets"
        tabIndex={0}
        aria-activedescendant={lines.length ? `packet-${chosen}` : undefined}
        onKeyDown={key}
        count={lines.length}
        height={ROW}
        shown={chosen}
        row={(index, style) => {
          const line = lines[index] as Line;
          const { packet, facts, bases, copyOf } = line;
          const words = info(facts, packet.data, bases);
          return (
            // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are the list's
            <div
              key={index}
              id={`packet-${index}`}
              class="packet-row"
              role="option"
              aria-posinset={index + 1}
              aria-setsize={lines.length}
              aria-selected={index === chosen}
              tabIndex={-1}
              style={style}
              onClick={() => choose(index)}
            >
              <span class="number">{packet.number}</span>
              <span class="number">{since(first, packet.time)}</span>
              <End capture={capture} address={facts.src} port={facts.srcPort} />
              <End capture={capture} address={facts.dst} port={facts.dstPort} />
              <span>{facts.protocol || "–"}</span>
              <span class="number">{packet.wire}</span>
              <span class="captured" title={[words, ...packet.comments].join("\n")}>
                {packet.comments.length > 0 && <b class="comment-mark">✎ </b>}
                {copyOf !== null && <i class="copy">copy of {copyOf} · </i>}
                {words}
              </span>
            </div>
          );
        }}
      />
    </div>
  );
}

function End({ capture, address, port }: { capture: Capture; address: string; port: number | null }) {
  const name = capture.names.get(address) ?? address;
  const suffix = port === null ? "" : `:${port}`;
  return (
    <span class="captured" title={`${address}${suffix}`}>
      {`${name}${suffix}`}
    </span>
  );
}

/** Seconds since the first packet, to the microsecond; what was captured out of order has a minus. */
export function since(first: bigint | null, time: bigint | null): string {
  if (first === null || time === null) return "–";
  const microseconds = (time - first) / 1_000n;
  const [sign, size] = microseconds < 0n ? ["-", -microseconds] : ["", microseconds];
  return `${sign}${size / 1_000_000n}.${String(size % 1_000_000n).padStart(6, "0")}`;
}

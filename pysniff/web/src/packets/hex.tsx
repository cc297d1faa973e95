// Bytes as hexadecimal numbers and as text, of which a part can be marked, and each chosen.
import { useState } from "preact/hooks";
import { moved, Rows } from "./rows";

const ROW = 18;
const WIDE = 530; // pixels, from which 16 bytes fit in a row

export function Hex({
  data,
  from,
  to,
  choose,
  label,
}: {
  data: Uint8Array;
  /** The part that is marked. */
  from: number;
  to: number;
  choose: (at: number) => void;
  label: string;
}) {
  const [width, measure] = useState(600);
  const columns = width >= WIDE ? 16 : 8;
  const [cursor, move] = useState(0);
  const at = from < to && (cursor < from || cursor >= to) ? from : Math.min(cursor, Math.max(0, data.length - 1));
  const pick = (place: number) => {
    move(place);
    choose(place);
  };
  const key = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || data.length === 0) return;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    const place = by === undefined ? moved(event.key, at, data.length, columns * 8) : at + by;
    if (place === null || place < 0 || place >= data.length) return;
    event.preventDefault();
    event.stopPropagation();
    pick(place);
  };
  const click = (event: MouseEvent) => {
    const place = (event.target as HTMLElement).dataset.at;
    if (place !== undefined) pick(Number(place));
  };
  return (
    <Rows
      class="hex mono"
      role="application"
      aria-roledescription="bytes"
      aria-label={`${label}: byte ${at} of ${data.length}${data.length ? `, ${two(data[at] ?? 0)}` : ""}`}
      tabIndex={0}
      count={Math.ceil(data.length / columns)}
      height={ROW}
      shown={data.length ? Math.floor(at / columns) : null}
      measured={measure}
      onKeyDown={key}
      onClick={click}
      row={(index, style) => {
        const start = index * columns;
        const places = Array.from({ length: Math.min(columns, data.length - start) }, (_, place) => start + place);
        const mark = (place: number) => (place >= from && place < to ? (place === at ? "marked here" : "marked") : "");
        return (
          <div key={index} class="hex-row" style={style} aria-hidden="true">
            <span class="faint">{start.toString(16).padStart(4, "0")}</span>
            <span class="octets" style={{ width: `${columns * 3 + 1}ch` }}>
              {places.map((place) => (
                <i key={place} data-at={place} class={mark(place)}>
                  {place - start === 8 ? " " : ""}
                  {two(data[place] ?? 0)}
                </i>
              ))}
            </span>
            <span class="letters captured">
              {places.map((place) => (
                <i key={place} data-at={place} class={mark(place)}>
                  {letter(data[place] ?? 0)}
                </i>
              ))}
            </span>
          </div>
        );
      }}
    />
  );
}

export function two(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}

export function letter(byte: number): string {
  return byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·";
}

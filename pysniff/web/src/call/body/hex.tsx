// Octets in hexadecimal and ASCII: sixteen in a row, eight where there is no room.
import { useRef } from "preact/hooks";
import { Rows } from "../rows";
import { hex, offset, printable } from "./hex_rows";
import { useColumns } from "./text";

const HEIGHT = 18;
const WIDE = 65; // columns of a row of sixteen, but for the offset

export function Hex({ bytes, label }: { bytes: Uint8Array; label: string }) {
  const box = useRef<HTMLDivElement>(null);
  const digits = bytes.length <= 0x10000 ? 4 : 8;
  const width = useColumns(box, true, 24, 1) >= WIDE + digits ? 16 : 8;
  return (
    <Rows
      count={Math.ceil(bytes.length / width)}
      height={HEIGHT}
      box={box}
      attributes={{ role: "region", "aria-label": `${label} in hexadecimal`, class: "rows mono" }}
      row={(place) => (
        <div key={place} class="text-row hex-line">
          <span class="faint">{offset(place * width, digits)}</span>
          <span>{hex(bytes, place * width, width)}</span>
          <span class="captured">{printable(bytes, place * width, width)}</span>
        </div>
      )}
    />
  );
}

// A conversation whose protocol nobody knows, and messages of protocols that the page has no view of.
import { count, size } from "../../format";
import type { HalfProps } from "../half";
import { tree } from "../loaded";
import { show } from "../shown";
import { Tree } from "../tree/tree";

export function UnrecognisedHalf({ message, side }: HalfProps) {
  const packets = Number(message.packets ?? 0);
  return (
    <>
      <p class="start-line mono">
        {size(Number(message.bytes ?? 0))}
        <span class="faint">
          {" "}
          in {count(packets)} {packets === 1 ? "packet" : "packets"} from the {side === "request" ? "client" : "server"}
        </span>
      </p>
      {side === "request" && (
        <p class="faint">
          Nobody recognised the protocol, or it is encrypted. Its bytes as text and hexadecimal are in{" "}
          <button type="button" class="link" onClick={() => show("stream")}>
            Stream
          </button>
          ; if you know what it is, --decode-as says so.
        </p>
      )}
    </>
  );
}

export function OtherHalf({ full, side }: HalfProps) {
  const root = tree(full, side);
  return root ? <Tree root={root} label={`the ${side}`} /> : <p class="warn">It has too many values to be shown.</p>;
}

// The packets of a call: a list, layers and bytes.
import type { Entry } from "../entry";
export function Packets({ entry }: { entry: Entry }) {
  return <p>{entry.id}</p>;
}

// Sends a call again where the hub allows it.
import type { Entry } from "../entry";
export function Replay({ entry }: { entry: Entry }) {
  return <p>{entry.id}</p>;
}

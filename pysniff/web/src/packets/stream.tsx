// The conversation of a call: its calls, and its bytes.
import type { Entry } from "../entry";
export function Stream({ entry }: { entry: Entry }) {
  return <p>{entry.stream}</p>;
}

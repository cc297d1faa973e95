// What is odd about a call, in words: what was found, how many bytes it concerns, and what it means for what is shown.
import type { Entry } from "../entry";
import { add } from "../filter/clauses";
import { count } from "../format";
import { Long } from "./long";

const MEANS: Record<string, string> = {
  gap: "Packets are missing: the capture lost them, or they never passed here. What is shown has a hole.",
  malformed: "The bytes break the rules of the protocol. What could be read is shown.",
  unanswered: "The request has no response here.",
  unrequested: "The response has no request here.",
  truncated: "It ends too early: the connection closed within it, or packets were captured cut.",
  midstream: "The conversation had begun before the capture: what was said earlier is not known.",
  inferred: "A part was not seen and is concluded from what was.",
  overlap: "The same bytes were sent twice with different content. The first ones are shown.",
};

export const COMPLETENESS: Record<Entry["completeness"], string> = {
  complete: "complete",
  gap: "bytes are missing",
  truncated: "ends too early",
  midstream: "joined in the middle",
  inferred: "partly inferred",
};

export function Faults({ entry }: { entry: Entry }) {
  if (!entry.faults.length) return null;
  return (
    <ul class="faults" aria-label="Faults">
      {entry.faults.slice(0, MOST).map(({ kind, message, bytes }, place) => (
        <li key={place}>
          <button
            type="button"
            class="value kind"
            title={`Filter: "${kind}" in faults`}
            onClick={(event) => add(event.shiftKey ? `!("${kind}" in faults)` : `"${kind}" in faults`)}
          >
            {kind}
          </button>{" "}
          <Long text={message} />
          {bytes > 0 && <span class="faint"> ({count(bytes)} bytes)</span>}
          <span class="means">{MEANS[kind] ?? ""}</span>
        </li>
      ))}
      {entry.faults.length > MOST && <li>{count(entry.faults.length - MOST)} more are in the JSON.</li>}
    </ul>
  );
}

const MOST = 30;

// The call at a glance: what is odd about it, and both halves, side by side where there is room.

import { Faults } from "./faults";
import { Half } from "./half";
import type { Full } from "./loaded";

export function Overview({ full, more }: { full: Full; more: () => void }) {
  const { protocol, request, response } = full.entry;
  // Of a WebSocket one half is all there is.
  const alone = protocol === "ws";
  return (
    <>
      <Faults entry={full.entry} />
      <div class={alone ? "halves alone" : "halves"}>
        {(!alone || request) && (
          <section class="half" aria-label="Request">
            {!alone && <h3>Request</h3>}
            <Half full={full} side="request" more={more} />
          </section>
        )}
        {(!alone || response) && (
          <section class="half" aria-label="Response">
            {!alone && <h3>Response</h3>}
            <Half full={full} side="response" more={more} />
          </section>
        )}
      </div>
    </>
  );
}

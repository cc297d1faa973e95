// What happens from now on; and a finished capture, which is told from its beginning.
//
// After the connection was away, what happened meanwhile is asked for too: calls that are known are not shown again.
import { Asking, type Line, type World } from "./asking";
import type { Asked } from "./history";
import type { Intake } from "./intake";
import type { Refused, Told } from "./messages";
import { MOST } from "./ring";

export interface LiveEvents {
  state(line: Line): void;
  /** The question is being answered. */
  asked(): void;
  /** The connection is back. True: begin everything anew. */
  back(): boolean;
  told(message: Told): void;
  refused(why: Refused): void;
  wake(): void;
}

/** Calls complete later than they begin: so long before the newest one it is asked again what happened. */
const BEFORE = 10_000; // milliseconds
/** And from the oldest call that is open, unless it is open for longer than this. */
const OPEN = 600_000;

export class Live {
  #asking: Asking;
  #asked: Asked = { filter: "", from: "", to: "" };
  #forward = false;
  #follow = true;
  #floor = "";

  constructor(
    world: World,
    readonly intake: Intake,
    readonly events: LiveEvents,
  ) {
    this.#asking = new Asking(world, {
      opened: (again) => {
        if (!again) return;
        intake.afterwards(() => {
          if (!events.back()) this.#again();
        });
        events.wake();
      },
      state: events.state,
      wanted: () => true,
      told: (message) => this.#told(message),
      refused: events.refused,
    });
  }

  /** `forward`: from the beginning, in the order of completion, as far as rows are kept; `follow`: there will be more,
   * so what is open then has not ended. */
  begin(asked: Asked, forward: boolean, follow = true): void {
    this.#asked = asked;
    this.#forward = forward;
    this.#follow = follow;
    this.#floor = "";
    this.#ask();
    void this.#asking.open();
  }

  /** A capture that was being read is there to its end: ask how what was open ended. */
  finish(): void {
    this.#follow = false;
    this.#ask();
  }

  #ask(): void {
    const { filter, from, to } = this.#asked;
    if (this.#forward) {
      const since = later(from, this.#floor);
      const question = { filter, limit: MOST, ...(since && { from: since }), ...(to && { to }) };
      this.#asking.ask(this.#follow ? question : { ...question, follow: false });
    } else if (!to) {
      this.#asking.ask({ filter, from: "now" });
    } else {
      this.#asking.rest();
    }
  }

  /** Rows were cleared: what happened until now does not come again. */
  cleared(): void {
    this.#floor = this.intake.newestBelow;
  }

  retry(): void {
    void this.#asking.open();
  }

  #again(): void {
    if (this.#forward || this.#asked.to) this.#ask();
    else this.#asking.ask({ filter: this.#asked.filter, from: this.#since() || "now" });
  }

  /** From when on calls may be missing. */
  #since(): string {
    const { ring } = this.intake;
    const last = ring.at(ring.end - 1)?.summary.timestamp ?? "";
    const newest = later(this.intake.newestBelow, last);
    if (!newest) return "";
    let since = before(newest, BEFORE);
    const longest = before(newest, OPEN);
    for (const { summary } of ring.open()) {
      if (summary.timestamp > longest && summary.timestamp < since) since = summary.timestamp;
    }
    // What fell out is not shown again.
    const top = ring.evicted ? (ring.at(ring.first)?.summary.timestamp ?? "") : "";
    return later(later(since, top), this.#floor);
  }

  #told(message: Told): void {
    if (message.type === "batch") {
      this.intake.take(message, "below");
      this.events.wake();
    } else if (message.type === "also") {
      this.intake.afterwards(() => {
        for (const [number, nodes] of message.also)
          this.intake.ring.also(number, nodes) ?? this.intake.waiting.also(number, nodes);
      });
      this.events.wake();
    } else if (message.type === "asked") {
      this.events.asked();
    } else {
      this.events.told(message);
    }
  }
}

/** So many milliseconds before a timestamp of nanoseconds, rounded down to milliseconds. */
function before(timestamp: string, milliseconds: number): string {
  return new Date(Date.parse(timestamp) - milliseconds).toISOString();
}

/** Of two timestamps, which sort as texts. */
function later(...timestamps: [string, string]): string {
  return timestamps.sort()[1] as string;
}

// What happened before: the newest calls first, a page at a time, each page from where the one before ended.
import { Asking, type World } from "./asking";
import type { Intake } from "./intake";
import type { Refused, Told } from "./messages";
import type { Earlier } from "./store";

export const PAGE = 500;
const PAGE_MOST = 16_000; // where more than a page began in one nanosecond

/** What all questions have in common. */
export interface Asked {
  filter: string;
  from: string;
  to: string;
}

export interface HistoryEvents {
  earlier(state: Earlier): void;
  told(message: Told): void;
  refused(why: Refused): void;
  wake(): void;
}

export class History {
  #asking: Asking;
  #asked: Asked = { filter: "", from: "", to: "" };
  #to = "";
  #limit = PAGE;
  #wanted = false; // a page is, and was not brought to its end

  constructor(
    world: World,
    readonly intake: Intake,
    readonly events: HistoryEvents,
  ) {
    this.#asking = new Asking(world, {
      opened: () => {
        if (this.#wanted) this.#ask();
      },
      state: () => {},
      wanted: () => this.#wanted,
      told: (message) => this.#told(message),
      refused: (why) => {
        this.#wanted = false;
        events.refused(why);
        events.earlier("none");
      },
    });
  }

  /** The newest calls of another question. */
  begin(asked: Asked): void {
    this.#asked = asked;
    this.#to = asked.to;
    this.#limit = PAGE;
    this.#ask();
    void this.#asking.open();
  }

  /** A page of older ones, unless one is under way. */
  older(): void {
    if (this.#wanted) return;
    if (this.intake.ring.full) this.events.earlier("full");
    else {
      this.#ask();
      void this.#asking.open();
    }
  }

  /** Nothing is wanted any more of what was asked. */
  stop(): void {
    this.#wanted = false;
    this.#asking.hush();
  }

  retry(): void {
    if (this.#wanted) void this.#asking.open();
  }

  #ask(): void {
    const { filter, from } = this.#asked;
    this.#wanted = true;
    this.events.earlier("asking");
    this.#asking.ask({
      filter,
      newest_first: true,
      limit: this.#limit,
      ...(from && { from }),
      ...(this.#to && { to: this.#to }),
    });
  }

  #told(message: Told): void {
    if (message.type === "batch") {
      this.intake.take(message, "above");
      this.events.wake();
    } else if (message.type === "end") {
      this.intake.pageEnds();
      this.intake.afterwards(() => this.#ended(Number(message.figures.entries ?? 0)));
      this.events.wake();
    } else if (message.type === "error") {
      this.#wanted = false;
      this.events.refused(message);
      this.events.earlier("more");
    } else {
      this.events.told(message);
    }
  }

  #ended(entries: number): void {
    if (!this.#wanted) return;
    this.#wanted = false;
    if (entries < this.#limit) this.events.earlier("none");
    else if (this.intake.ring.full) this.events.earlier("full");
    else if (this.intake.lastAbove !== this.#to) {
      this.#to = this.intake.lastAbove;
      this.#limit = PAGE;
      this.events.earlier("more");
    } else if (this.#limit < PAGE_MOST) {
      // A page whose calls all began at once leads nowhere: ask for a larger one.
      this.#limit *= 2;
      this.#ask();
    } else this.events.earlier("none");
  }
}

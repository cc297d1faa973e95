// One WebSocket to /api/entries: connected again whenever it ends, and asked one question after the other.
//
// What is told belongs to the question that was asked last and accepted: a question is sent when the one before has
// been answered with "asked" or refused, and what comes in between belongs to neither and is skipped.
import { toEntries } from "../socket";
import { type Refused, type Told, told } from "./messages";

/** As docs/api.md has it; what is missing is as it says there. */
export interface Question {
  filter: string;
  from?: string;
  to?: string;
  limit?: number;
  follow?: boolean;
  newest_first?: boolean;
}

export type Line = "connecting" | "open" | "away" | "signed out";

export interface Events {
  /** `again`: it was open before. Ask now what is to be asked. */
  opened(again: boolean): void;
  state(line: Line): void;
  told(message: Told): void;
  /** Whether it is to be connected again. */
  wanted(): boolean;
  /** The question was not asked; the one before goes on. */
  refused(why: Refused, question: Question): void;
}

/** What of a WebSocket is used, so that tests can be one. */
export interface Socket {
  binaryType: "arraybuffer" | "blob";
  onopen: ((event: Event) => unknown) | null;
  onclose: ((event: CloseEvent) => unknown) | null;
  onmessage: ((event: MessageEvent) => unknown) | null;
  send(text: string): void;
}

export interface World {
  /** Whether a connection would succeed: a browser does not say why one failed. */
  ready(): Promise<"ready" | "away" | "signed out">;
  connect(): Socket;
  later(action: () => void, milliseconds: number): () => void;
}

const NOTHING: Question = { filter: "", from: "now", follow: false, limit: 1 };
const FIRST = 250; // milliseconds before it is tried again; doubled up to
const LAST = 4_000;
const TOO_OFTEN = 1_000; // before a question is put again that came too soon after others
// Why a question was not asked; "busy" and "internal" end one that was.
const NOT_ASKED = new Set(["filter", "option", "rate"]);

export class Asking {
  #socket: Socket | null = null;
  #isOpen = false;
  #wasOpen = false;
  #looking = false;
  #wait = FIRST;
  #cancel: (() => void) | null = null;
  #next: Question | null = null;
  #sent: Question | null = null; // and neither accepted nor refused
  #accepted = false;

  constructor(
    readonly world: World,
    readonly events: Events,
  ) {}

  /** Connect, now; where the hub wants a token no more is tried until this is called again. */
  async open(): Promise<void> {
    this.#cancel?.();
    this.#cancel = null;
    if (this.#socket || this.#looking) return;
    this.#looking = true;
    const found = await this.world.ready();
    this.#looking = false;
    if (found === "ready") this.#connect();
    else this.events.state(found);
    if (found === "away") this.#later();
  }

  #connect(): void {
    const socket = this.world.connect();
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#isOpen = true;
      this.#wait = FIRST;
      this.events.state("open");
      const again = this.#wasOpen;
      this.#wasOpen = true;
      this.events.opened(again);
      this.#send();
    };
    socket.onmessage = ({ data }) => this.#told(told(data));
    socket.onclose = () => this.#closed(socket);
  }

  /** The latest question counts; before the connection is there it waits. */
  ask(question: Question): void {
    this.#next = question;
    this.#send();
  }

  /** Nothing more is wanted of the question that was asked; what comes of it is skipped. */
  hush(): void {
    this.#next = null;
    this.#accepted = false;
  }

  /** Nor is the hub to go on with it: it is asked for nothing instead. */
  rest(): void {
    this.#accepted = false;
    this.ask(NOTHING);
  }

  #send(): void {
    if (!this.#isOpen || !this.#socket || !this.#next || this.#sent) return;
    this.#sent = this.#next;
    this.#next = null;
    this.#accepted = false;
    this.#socket.send(JSON.stringify(this.#sent));
  }

  #told(message: Told): void {
    if (message.type === "asked") {
      const replaced = this.#next !== null || this.#sent === NOTHING;
      this.#sent = null;
      this.#accepted = !replaced;
      if (!replaced) this.events.told(message);
      this.#send();
    } else if (this.#sent && message.type === "error" && NOT_ASKED.has(message.code)) {
      this.#refused(message, this.#sent);
    } else if (this.#accepted) {
      this.events.told(message);
    }
  }

  #refused(why: Refused, question: Question): void {
    this.#sent = null;
    if (why.code === "rate") {
      this.#next ??= question;
      this.#cancel = this.world.later(() => this.#send(), TOO_OFTEN);
      return;
    }
    if (!this.#next) this.events.refused(why, question);
    this.#send();
  }

  #forget(): void {
    this.#socket = null;
    this.#isOpen = this.#accepted = false;
    this.#sent = null;
    // Who was connected before is told that it is again, and asks for what it missed.
    if (this.#wasOpen) this.#next = null;
  }

  #closed(socket: Socket): void {
    if (socket !== this.#socket) return;
    this.#forget();
    this.events.state("away");
    if (this.events.wanted()) this.#later();
  }

  #later(): void {
    const wait = this.#wait;
    this.#wait = Math.min(wait * 2, LAST);
    this.#cancel = this.world.later(() => this.open(), wait * (0.75 + Math.random() / 2));
  }
}

/** The hub that served the page. */
export const hub: World = {
  ready: async () => {
    try {
      return (await fetch("/api/filter?q=")).status === 401 ? "signed out" : "ready";
    } catch {
      return "away";
    }
  },
  connect: toEntries,
  later: (action, milliseconds) => {
    const timer = setTimeout(action, milliseconds);
    return () => clearTimeout(timer);
  },
};

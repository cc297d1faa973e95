// Why no call is shown: from what workers, hub and a look without the filter say, to words and what to do.
//
// Honest: it says what is known. Where the figures cannot tell two reasons apart, both stand there.
import type { Line } from "../feed/asking";
import { count } from "../format";
import type { Looked } from "./look";
import { type Capture, connected, type Figures, type Told, total, type Worker } from "./told";

export type Remedy =
  | { kind: "filter"; words: string; filter: string }
  | { kind: "times"; words: string }
  | { kind: "resume"; words: string }
  | { kind: "workers"; words: string }
  | { kind: "command"; words: string; command: string };

export type Kind =
  | "signed-out"
  | "unreachable"
  | "refused"
  | "paused"
  | "asking"
  | "no-worker"
  | "all-away"
  | "reading"
  | "no-privilege"
  | "not-capturing"
  | "no-interface"
  | "no-packets"
  | "capture-filter"
  | "no-match"
  | "encrypted"
  | "unknown-protocol"
  | "other-time"
  | "no-calls"
  | "nothing-stored"
  | "empty-file"
  | "waiting";

export interface Reason {
  kind: Kind;
  /** In a few words, for somebody who reads nothing else. */
  title: string;
  words: string[];
  todo: Remedy[];
  /** Something goes on, so that waiting may help. */
  busy?: boolean;
}

export interface Given {
  connection: Line;
  signedOut: boolean;
  refused: { message: string; hint: string } | null;
  paused: boolean;
  /** Calls that came while it was paused, and are not shown yet. */
  waiting: number;
  toldHistory: boolean;
  filter: string;
  from: string;
  to: string;
  told: Told | null;
  /** Packets that the workers' interfaces carried lately, captured or not; null where that is not known. */
  carried: number | null;
  /** bpf and targets of each worker by node, where they are known. */
  narrowed: ReadonlyMap<string, { bpf: string; targets: readonly string[] }>;
  /** What there is without the filter; null before anybody looked. */
  looked: Looked | null;
}

const LOOK: Remedy = { kind: "workers", words: "Look at the workers" };

export function why(given: Given): Reason {
  return asked(given) ?? present(given) ?? captured(given) ?? found(given);
}

/** What keeps the question from being asked at all. */
function asked(given: Given): Reason | null {
  const { told, refused } = given;
  if (given.signedOut || given.connection === "signed out")
    return reason("signed-out", "You are signed out", ["The hub wants its token before it tells anything."]);
  if (given.connection === "away")
    return {
      ...reason("unreachable", "The hub does not answer", [
        "The page asks again by itself, and goes on where it was.",
        "If the hub was ended, start it again: it serves this page and asks the workers.",
      ]),
      busy: true,
    };
  if (refused)
    return reason("refused", "This question was not asked", [sentence(refused.message), sentence(refused.hint)]);
  if (given.paused)
    return reason(
      "paused",
      "Paused",
      [given.waiting ? `${many(given.waiting, "call")} came meanwhile.` : "What comes now is shown when you go on."],
      [{ kind: "resume", words: "Go on" }],
    );
  if (!told) return { ...reason("asking", "Asking the hub …", []), busy: true };
  return null;
}

/** Who is there to answer. */
function present({ told, toldHistory }: Given): Reason | null {
  const workers = told?.workers ?? [];
  const names = Object.entries(told?.unresolved ?? {});
  if (!workers.length) {
    const words = ["Workers capture packets; this hub knows none yet."];
    for (const [name, because] of names) words.push(`${name} cannot be resolved: ${because}.`);
    const todo: Remedy[] = [
      { kind: "command", words: "On the node", command: "sudo pysniff worker" },
      { kind: "command", words: "Then start the hub with it", command: "pysniff hub --worker NODE" },
    ];
    return reason("no-worker", "No worker is connected", words, todo);
  }
  if (!connected(workers).length) {
    const words = workers.slice(0, MOST).map((worker) => `${worker.node}: ${sentence(worker.reason || worker.state)}`);
    if (workers.length > MOST) words.push(`And ${many(workers.length - MOST, "other")}.`);
    const title = workers.length === 1 ? "The only worker is away" : `All ${workers.length} workers are away`;
    return reason("all-away", title, words, [...remedies(workers), LOOK]);
  }
  if (!toldHistory && connected(workers).every((worker) => worker.figures && finished(worker.figures)))
    return { ...reason("reading", "Reading the capture …", readings(workers)), busy: true };
  return null;
}

function readings(workers: readonly Worker[]): string[] {
  const captures = workers.flatMap(({ figures }) => figures?.capture ?? []);
  return [
    ...captures.map((capture) => sentence(`${capture.reason}: ${readSoFar(capture)}`)),
    "Calls are shown as they are found.",
  ];
}

/** "reads a file, 40 %", "has read its file". */
export function readSoFar({ state, bytes_read: read = 0, bytes_in_all: all = 0 }: Capture): string {
  if (state === "finished") return "has read its file";
  return all > 0 ? `reads a file, ${Math.floor((100 * read) / all)} %` : "reads a file";
}

const MOST = 5; // workers that are named one by one

/** What the reasons of absent workers ask for. */
function remedies(workers: readonly Worker[]): Remedy[] {
  const reasons = workers.map((worker) => worker.reason).join("\n");
  if (/token|401|403/i.test(reasons))
    return [{ kind: "command", words: "Give both the same token", command: "pysniff worker --token-file FILE" }];
  if (/connect|refused|unreachable|timed? ?out/i.test(reasons))
    return [{ kind: "command", words: "Is it running? On the node", command: "sudo pysniff worker --listen ADDRESS" }];
  return [];
}

/** Whether packets come at all. */
function captured(given: Given): Reason | null {
  const here = connected(given.told?.workers ?? []);
  const figures = here.flatMap((worker) => worker.figures ?? []);
  if (!figures.length) return null;
  const idle = here.filter(({ figures: one }) => one && !one.capturing && !finished(one));
  // What was stored before may be asked for nevertheless.
  const stored = figures.some((one) => one.store.segments > 0) || (given.looked?.packets ?? 0) > 0;
  if (idle.length === here.length && !stored) return blocked(idle);
  if (figures.every(finished)) return null;
  const packets = figures.reduce((sum, one) => sum + total(one.ledger, "live_packets"), 0);
  return packets || stored ? null : silent(given, here, figures);
}

function blocked(idle: readonly Worker[]): Reason {
  const first = idle[0]?.figures?.capture;
  const reasons = [...new Set(idle.map(({ figures }) => figures?.capture.reason ?? ""))].filter(Boolean);
  const words = reasons.slice(0, MOST).map(sentence);
  const hints = [...new Set(idle.map(({ figures }) => figures?.capture.hint ?? ""))].filter(Boolean);
  if (reasons.some((text) => /permi(ssion|tted)|privilege/i.test(text)))
    return reason(
      "no-privilege",
      "No privilege to capture",
      [...words, ...hints.map(sentence)],
      [
        { kind: "command", words: "Run the worker as root", command: "sudo pysniff worker" },
        {
          kind: "command",
          words: "Or allow Python to capture, once",
          command: 'sudo setcap cap_net_raw,cap_net_admin=eip "$(readlink -f "$(command -v python3)")"',
        },
        LOOK,
      ],
    );
  const absent = [...new Set(idle.flatMap(({ figures }) => figures?.capture.absent ?? []))];
  if (absent.length) {
    const text = `Waiting for ${list(absent)}, which ${absent.length === 1 ? "is" : "are"} not there or not up.`;
    return reason(
      "no-interface",
      "The interface is not there",
      [text, ...words],
      [
        { kind: "command", words: "Which ones there are", command: "pysniff -D" },
        { kind: "workers", words: "Choose others" },
      ],
    );
  }
  const starting = first?.state === "starting" || first?.state === "restarting";
  const title = starting ? "The capture begins …" : "Nothing is captured";
  return { ...reason("not-capturing", title, [...words, ...hints.map(sentence)], [LOOK]), busy: starting };
}

function silent(given: Given, here: readonly Worker[], figures: readonly Figures[]): Reason {
  const interfaces = [...new Set(figures.flatMap((one) => one.capture.interfaces))];
  const since = Math.min(...figures.map((one) => one.capture.since_ns).filter((at) => at > 0));
  const now = Math.max(...figures.map((one) => one.now_ns));
  const long = Number.isFinite(since) ? ` for ${elapsed((now - since) / 1e9)}` : "";
  const where = interfaces.length ? list(interfaces) : "every interface";
  const filters = here.flatMap((worker) => given.narrowed.get(worker.node) ?? []);
  const bpf = [...new Set(filters.map((one) => one.bpf))].filter((one) => one.trim());
  const targets = [...new Set(filters.flatMap((one) => one.targets))];
  const narrow: string[] = [];
  if (bpf.length) narrow.push(`the capture filter ${bpf.map((one) => `“${one}”`).join(", ")}`);
  if (targets.length) narrow.push(`the targets ${list(targets)}`);
  if (narrow.length && given.carried !== 0) {
    const carried = given.carried
      ? `${where} carried ${many(given.carried, "packet")} in the last seconds; none was let through by ${narrow.join(" and ")}.`
      : `Nothing on ${where} was let through by ${narrow.join(" and ")}${long}, or there is nothing.`;
    return reason(
      "capture-filter",
      "The capture filter keeps everything out",
      [carried],
      [{ kind: "workers", words: "Change what is captured" }],
    );
  }
  const words = [`Listening on ${where}${long}, and nothing has passed.`];
  if (narrow.length) words.push(`Only what ${narrow.join(" and ")} let through is captured.`);
  words.push("Make a request, or choose other interfaces: the traffic may pass elsewhere.");
  return reason("no-packets", "No packets", words, [
    { kind: "command", words: "Which interfaces there are", command: "pysniff -D" },
    { kind: "workers", words: "Choose interfaces" },
  ]);
}

/** There are packets, or were: what became of them. */
function found(given: Given): Reason {
  const { looked } = given;
  const whole = given.told?.workers.every((worker) => worker.figures && finished(worker.figures)) ?? false;
  if (!looked) return { ...reason("reading", "Looking at what is there …", []), busy: true };
  const ranged = Boolean(given.from || given.to);
  if (looked.calls && given.filter) return unmatched(looked);
  if (ranged && !looked.calls && looked.elsewhere) {
    const words = ["Calls are kept of another time than the one that is chosen."];
    return reason("other-time", "No calls in this time", words, [{ kind: "times", words: "Show all times" }]);
  }
  if (looked.calls)
    return { ...reason("reading", "Reading what is there …", [`${atLeast(looked)} there.`]), busy: true };
  if (!looked.packets) {
    if (whole) return reason("empty-file", "The file has no packets", ["Nothing was recorded in it.", ...told(given)]);
    if (ranged)
      return reason(
        "other-time",
        "Nothing in this time",
        ["No packets are kept of the time that is chosen."],
        [{ kind: "times", words: "Show all times" }],
      );
    const words = ["Nothing is kept yet; calls are shown as they happen."];
    return { ...reason("nothing-stored", "Waiting for calls …", words), busy: true };
  }
  return callless(looked, whole ? told(given) : null);
}

/** What workers that read files say of them: their names, or what failed. */
function told(given: Given): string[] {
  return (given.told?.workers ?? []).flatMap(({ figures }) => {
    const { reason: words = "", hint = "" } = figures?.capture ?? {};
    return [sentence(words), sentence(hint)];
  });
}

function unmatched(looked: Looked): Reason {
  const clear: Remedy = { kind: "filter", words: "Clear the filter", filter: "" };
  const unknown: Remedy = { kind: "filter", words: "Show tcp || udp", filter: "tcp || udp" };
  const words = [`${atLeast(looked)} there; the filter shows none of them.`];
  const handshakes = looked.protocols.get("tlsx") ?? 0;
  if (handshakes && handshakes + looked.unrecognised >= looked.calls) {
    words.push(`${many(handshakes, "TLS connection")} ${handshakes === 1 ? "is" : "are"} among them. ${CLOSED}`);
    const show: Remedy = { kind: "filter", words: "Show the handshakes", filter: "tlsx" };
    return reason("encrypted", "Encrypted", words, [...KEYS, show, clear]);
  }
  if (looked.unrecognised < looked.calls) {
    const known = [...looked.protocols].filter(([name]) => name !== "tcp" && name !== "udp");
    words.push(`There are ${list(known.map(([name, number]) => `${count(number)} ${name}`))}.`);
    if (looked.unrecognised) words.push(`${many(looked.unrecognised, "conversation")} nobody recognises.`);
    return reason("no-match", "No call matches the filter", words, [clear]);
  }
  if (looked.encrypted) {
    words.push(encrypted(looked));
    return reason("encrypted", "Encrypted", words, [...KEYS, unknown, clear]);
  }
  words.push("All are conversations in a protocol that is not known here, or joined in the middle.");
  return reason("unknown-protocol", "Only unknown protocols", words, [unknown, clear]);
}

function encrypted(looked: Looked): string {
  const seen =
    looked.encrypted === looked.examined
      ? `${looked.examined === 1 ? "The one" : `All ${looked.examined}`} that were looked into begin with a TLS handshake.`
      : `${looked.encrypted} of ${looked.examined} that were looked into begin with a TLS handshake.`;
  return `${seen} ${CLOSED}`;
}

const CLOSED =
  "What is inside needs the keys of one of its ends, from before the connection began; who talks to whom, when and how much is shown all the same.";

/** Where keys can be had. */
const KEYS: Remedy[] = [
  { kind: "command", words: "Read them from running programs", command: "sudo pysniff worker --tls" },
  { kind: "command", words: "On this machine alone", command: "sudo pysniff --web --tls" },
  { kind: "command", words: "From what a program writes to SSLKEYLOGFILE", command: "pysniff --web --keylog FILE" },
  { kind: "command", words: "Or start a program so that it writes them", command: "sudo pysniff run -- COMMAND" },
];

/** Packets without a call. */
function callless(looked: Looked, file: string[] | null): Reason {
  const words = [
    `${many(looked.packets, "packet")} ${looked.packets === 1 ? "was" : "were"} read, and no call was in them.`,
  ];
  const say = (number: number, text: string) => {
    if (number) words.push(`${count(number)} ${text}.`);
  };
  say(looked.open, "conversations are open and have said nothing that is recognised yet");
  say(looked.oneSided, "connections were begun, and nobody has sent anything");
  say(looked.notIp, "packets are not IP, or neither TCP nor UDP");
  say(looked.malformed, "packets cannot be decoded");
  say(looked.damaged, "packets could not be read");
  if (file) return reason("empty-file", "The file has no calls", [...words, ...file]);
  words.push("A conversation in an unknown protocol is shown when it ends.");
  return reason("no-calls", "Packets, but no calls", words, [LOOK]);
}

// Words

function reason(kind: Kind, title: string, words: string[], todo: Remedy[] = []): Reason {
  return { kind, title, words: words.filter(Boolean), todo };
}

/** Of a file that is being read, or was: nothing more comes. */
export function finished(figures: Figures): boolean {
  return figures.capture.state === "reading" || figures.capture.state === "finished";
}

function atLeast(looked: Looked): string {
  const is = looked.calls === 1 ? "is" : "are";
  return `${looked.more ? "More than " : ""}${many(looked.calls, "call")} ${is}`;
}

export function many(number: number, what: string): string {
  return `${count(number)} ${what}${number === 1 ? "" : "s"}`;
}

/** "a, b and 3 more". */
function list(names: readonly string[], most = 6): string {
  const shown = names.slice(0, most);
  const rest = names.length - shown.length;
  if (rest) return `${shown.join(", ")} and ${rest} more`;
  return shown.length > 1 ? `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}` : (shown[0] ?? "");
}

function sentence(text: string): string {
  const trimmed = text.trim();
  if (!trimmed) return "";
  return /[.!?…]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}

/** "5 s", "3 min", "2 h". */
export function elapsed(seconds: number): string {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129_600) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesOf, meant, written } from "../../pysniff/web/src/workers/configuration";
import { hasHandshake } from "../../pysniff/web/src/workers/handshake";
import { counted, type Looked } from "../../pysniff/web/src/workers/look";
import { imbalances, losses } from "../../pysniff/web/src/workers/losses";
import { paces } from "../../pysniff/web/src/workers/pace";
import type { Capture, Counters, Worker } from "../../pysniff/web/src/workers/told";
import { type Given, type Kind, why } from "../../pysniff/web/src/workers/why";

interface Told {
  capture?: Partial<Capture>;
  ledger?: Counters;
  segments?: number;
  state?: string;
  reason?: string;
  now?: number;
}

function worker({
  capture = {},
  ledger = {},
  segments = 0,
  state = "connected",
  reason = "",
  now = 60,
}: Told = {}): Worker {
  const captures: Capture = {
    state: "capturing",
    reason: "",
    pid: 1,
    since_ns: 1e9,
    restarts: 0,
    interfaces: ["eth0"],
    absent: [],
    unaccounted: 0,
    excluded: [],
    ...capture,
  };
  const none = { answered: 0, cancelled: 0, refused: 0, failed: 0, died: 0, untold: 0 };
  return {
    node: "n1",
    state,
    reason,
    since: "2026-11-22T10:00:00Z",
    address: "10.0.0.1:8897",
    session: "s",
    software: "pysniff",
    figures_error: "",
    figures: {
      started_ns: 1e9,
      now_ns: 1e9 + now * 1e9,
      capturing: captures.state === "capturing" && captures.interfaces.length > 0,
      capture: captures,
      ledger,
      store: { path: "/s", limit: 1, bytes: 0, segment: 1, segments },
      queries: { running: {}, most: 10, ...none },
      memory: {},
      config_version: 0,
      hubs: [],
      notices: [],
    },
  };
}

const NOTHING: Looked = {
  calls: 0,
  more: false,
  protocols: new Map(),
  unrecognised: 0,
  examined: 0,
  encrypted: 0,
  elsewhere: false,
  packets: 0,
  damaged: 0,
  open: 0,
  oneSided: 0,
  notIp: 0,
  malformed: 0,
};

function given(workers: Worker[], more: Partial<Given> = {}): Given {
  return {
    connection: "open",
    signedOut: false,
    refused: null,
    paused: false,
    waiting: 0,
    toldHistory: true,
    filter: "",
    from: "",
    to: "",
    told: { workers, unresolved: {} },
    carried: null,
    narrowed: new Map(),
    looked: null,
    ...more,
  };
}

function says(what: Given, kind: Kind, ...parts: RegExp[]): void {
  const reason = why(what);
  assert.equal(reason.kind, kind);
  const text = JSON.stringify(reason);
  for (const part of parts) assert.match(text, part);
}

const PACKETS = worker({ ledger: { live_packets: 9 }, segments: 1 });

test("who is signed out is told so, whatever else is wrong", () => {
  says(given([], { signedOut: true, connection: "away" }), "signed-out");
});

test("a hub that does not answer is named before its workers", () => {
  says(given([], { connection: "away" }), "unreachable");
});

test("a refused question is told in the hub's words", () => {
  says(
    given([PACKETS], { refused: { message: "no such variable", hint: "status_code?" } }),
    "refused",
    /status_code\?/,
  );
});

test("a page that is paused says how to go on", () => {
  says(given([PACKETS], { paused: true, waiting: 3 }), "paused", /3 calls came/, /"resume"/);
});

test("a hub without workers says how to begin one, and which names DNS does not know", () => {
  const what = given([]);
  what.told = { workers: [], unresolved: { "workers.svc": "Name or service not known" } };
  says(what, "no-worker", /workers\.svc cannot be resolved/, /pysniff worker/);
});

test("workers that are all away are told with their reasons and what helps", () => {
  const away = worker({ state: "away", reason: "Connection refused" });
  says(given([away]), "all-away", /n1: Connection refused\./, /Is it running/);
  const stranger = worker({ state: "refused", reason: "the token is wrong" });
  says(given([stranger]), "all-away", /same token/);
});

test("a capture without privilege gets the exact command", () => {
  const capture = { state: "restarting", reason: "eth0: permission denied", hint: "run with sudo" };
  says(
    given([worker({ capture })]),
    "no-privilege",
    /eth0: permission denied/,
    /setcap cap_net_raw/,
    /sudo pysniff worker/,
  );
});

test("an interface that is waited for is named", () => {
  const capture = { interfaces: [], absent: ["wlan7"] };
  says(given([worker({ capture })]), "no-interface", /Waiting for wlan7, which is not there/);
});

test("a capture that begins is no failure", () => {
  says(given([worker({ capture: { state: "starting", interfaces: [] } })]), "not-capturing", /"busy":true/);
});

test("no packets: which interfaces, and since when", () => {
  says(given([worker()]), "no-packets", /Listening on eth0 for 60 s/);
});

test("packets that pass an interface and not its capture filter blame the filter", () => {
  const narrowed = new Map([["n1", { bpf: "tcp port 81", targets: [] }]]);
  says(given([worker()], { narrowed, carried: 12 }), "capture-filter", /eth0 carried 12 packets/, /tcp port 81/);
});

test("a quiet interface is not blamed on its capture filter", () => {
  const narrowed = new Map([["n1", { bpf: "", targets: ["10.0.0.9"] }]]);
  says(given([worker()], { narrowed, carried: 0 }), "no-packets", /the targets 10\.0\.0\.9/);
});

test("before anybody looked nothing is claimed", () => {
  says(given([PACKETS]), "reading");
});

test("calls that the filter hides are counted, and the filter can be cleared", () => {
  const protocols = new Map([
    ["http", 40],
    ["dns", 2],
    ["tcp", 1],
  ]);
  const looked = { ...NOTHING, calls: 43, protocols, unrecognised: 1, packets: 99 };
  says(
    given([PACKETS], { filter: "redis", looked }),
    "no-match",
    /43 calls are there/,
    /40 http and 2 dns/,
    /"filter":""/,
  );
});

test("only conversations that nobody recognises: a filter shows them", () => {
  const looked = { ...NOTHING, calls: 1, protocols: new Map([["tcp", 1]]), unrecognised: 1, examined: 1, packets: 9 };
  says(given([PACKETS], { filter: "http", looked }), "unknown-protocol", /tcp \|\| udp/);
});

test("encrypted conversations say what is missing", () => {
  const looked = { ...NOTHING, calls: 2, unrecognised: 2, examined: 2, encrypted: 2, packets: 9 };
  says(
    given([PACKETS], { filter: "http", looked }),
    "encrypted",
    /All 2 that were looked into begin with a TLS handshake/,
  );
});

test("handshakes that a filter hides say where keys can be had", () => {
  const protocols = new Map([
    ["tlsx", 3],
    ["tcp", 1],
  ]);
  const looked = { ...NOTHING, calls: 4, protocols, unrecognised: 1, examined: 1, packets: 9 };
  says(
    given([PACKETS], { filter: "http", looked }),
    "encrypted",
    /3 TLS connections are among them/,
    /sudo pysniff worker --tls/,
    /--keylog FILE/,
    /pysniff run/,
    /"filter":"tlsx"/,
  );
  const calls = { ...looked, calls: 5, protocols: new Map([...protocols, ["dns", 1]]) };
  says(given([PACKETS], { filter: "http", looked: calls }), "no-match", /3 tlsx/);
});

test("a time without calls offers all times", () => {
  const looked = { ...NOTHING, elsewhere: true };
  says(given([PACKETS], { from: "10m", looked }), "other-time", /"times"/);
});

test("packets without calls are told by what became of them", () => {
  const looked = { ...NOTHING, packets: 1_234, open: 2, notIp: 7 };
  says(
    given([PACKETS], { looked }),
    "no-calls",
    /1,234 packets were read/,
    /2 conversations are open/,
    /7 packets are not IP/,
  );
});

test("a finished file says that it has nothing, and never waits", () => {
  const file = worker({ capture: { state: "finished", interfaces: [] } });
  says(given([file], { looked: NOTHING }), "empty-file", /no packets/);
  says(
    given([file], { looked: { ...NOTHING, packets: 3, malformed: 3 } }),
    "empty-file",
    /3 packets cannot be decoded/,
  );
});

test("a filter of a finished file can be cleared too", () => {
  const file = worker({ capture: { state: "finished", interfaces: [] } });
  const looked = { ...NOTHING, calls: 5, protocols: new Map([["http", 5]]), packets: 50 };
  says(given([file], { filter: "dns", looked }), "no-match", /5 calls/);
});

test("the figures of an answer are added over its nodes, counters by reason too", () => {
  const one = {
    figures: { packets_damaged: 1, ledger: { packets: 5, not_ip: { arp: 2, lldp: 1 }, conversations_open: 1 } },
  };
  const sum = counted({ nodes: { n1: one, n2: one, n3: {} } });
  assert.deepEqual(sum, { packets: 10, damaged: 2, open: 2, oneSided: 0, notIp: 6, malformed: 0 });
});

test("a TLS handshake is seen wherever it begins, and nothing else is taken for one", () => {
  const hello = [22, 3, 1, 0, 100, 1, 0, 0, 96, 3, 3, ...Array<number>(94).fill(7)];
  assert.equal(hasHandshake(Uint8Array.from([0, 1, 2, ...hello])), true);
  assert.equal(hasHandshake(Uint8Array.from([0, 1, 2, ...hello.slice(0, 8), 90, ...hello.slice(9)])), false);
  assert.equal(hasHandshake(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n")), false);
});

test("what was lost is told, and only that", () => {
  const counters = { live_packets: 9, kernel_received: 12, kernel_dropped: 3, store_evicted: 5 };
  assert.deepEqual(
    losses(counters).map(({ term, count }) => [term.name, count]),
    [["kernel_dropped", 3]],
  );
  assert.deepEqual(imbalances(counters), []);
  assert.deepEqual(imbalances({ ...counters, live_packets: 8 }), [], "one waits in the kernel");
  assert.match(imbalances({ ...counters, live_packets: 10 })[0] ?? "", /kernel_received = 12, but .* = 13/);
});

test("the pace is counted over the worker's clock, and a restart begins anew", () => {
  const before = { workers: [worker({ ledger: { live_packets: 100 }, now: 10 })], unresolved: {} };
  const after = { workers: [worker({ ledger: { live_packets: 300 }, now: 14 })], unresolved: {} };
  assert.equal(paces(before, after, new Map()).get("n1")?.packets, 50);
  const again = { workers: [{ ...worker({ now: 15 }), session: "t" }], unresolved: {} };
  assert.equal(paces(after, again, new Map()).get("n1"), undefined);
});

test("settings are written as they are read", () => {
  assert.deepEqual(meant("targets", " 10.0.0.7, 10.1.0.0/16\n"), ["10.0.0.7", "10.1.0.0/16"]);
  assert.equal(meant("storage_limit", written("storage_limit", { storage_limit: 200_000_000 })), 200_000_000);
  assert.equal(bytesOf("64k"), 65_536);
  assert.throws(() => bytesOf("lots"), /is not a size/);
});

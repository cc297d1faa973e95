// What a worker can decrypt, in words: where keys come from, and which programs cannot be read.
import assert from "node:assert/strict";
import { test } from "node:test";
import { facts } from "../../pysniff/web/src/call/tls";
import type { Tls } from "../../pysniff/web/src/entry";
import { inShort, programs, unownedInShort } from "../../pysniff/web/src/workers/decryption";
import type { TlsFigures, TracedProcess, Tracer } from "../../pysniff/web/src/workers/told";

const PROCESS: TracedProcess = {
  pid: 7,
  name: "nginx",
  library: "OpenSSL 3.0.3",
  path: "/usr/lib/libssl.so.3",
  attached: true,
  problem: "",
  keys: 5,
  with_keys: 1,
  without_keys: 0,
  running: true,
};

const TRACER: Tracer = {
  mode: "keys",
  state: "tracing",
  reason: "",
  hint: "",
  pid: 1,
  restarts: 0,
  processes: [],
  unnamed: 0,
  counters: {},
  problems: [],
};

function figures(more: Partial<TlsFigures>): TlsFigures {
  return { connections: 0, with_keys: 0, keylogs: [], store_secrets: false, tracer: null, ...more };
}

test("where keys come from and what they are good for is one line", () => {
  assert.equal(inShort(figures({})), "no keys: the worker was started without --tls and --keylog");
  assert.equal(
    inShort(figures({ tracer: TRACER, connections: 5, with_keys: 4 })),
    "keys from running programs; 4 of 5 connections that began have keys; keys are kept in memory alone",
  );
  assert.equal(
    inShort(figures({ tracer: TRACER, keylogs: ["/a"], store_secrets: true })),
    "keys from running programs and 1 key log; keys are kept beside the packets",
  );
  assert.match(inShort(figures({ tracer: { ...TRACER, state: "off" } })), /^no keys are read now/);
});

test("processes of one program are a line: with keys first, then those that cannot be read", () => {
  const java = { ...PROCESS, pid: 9, name: "java", library: "JSSE", keys: 0, attached: false, problem: "no way to" };
  const found = programs([
    { ...PROCESS, pid: 1, name: "curl", keys: 0 },
    java,
    PROCESS,
    { ...PROCESS, pid: 8, keys: 10 },
    { ...PROCESS, pid: 6, running: false },
  ]);
  assert.deepEqual(
    found.map(({ name, pids, keys }) => [name, pids, keys]),
    [
      ["nginx", [7, 8], 20],
      ["java", [9], 0],
      ["curl", [1], 0],
    ],
  );
});

test("connections are summed for a program, and those without keys come before programs that say nothing", () => {
  const found = programs([
    { ...PROCESS, pid: 1, name: "idle", keys: 0, with_keys: 0 },
    { ...PROCESS, pid: 2, name: "uv", keys: 0, with_keys: 0, without_keys: 3, attached: false },
    { ...PROCESS, pid: 3, with_keys: 4 },
    { ...PROCESS, pid: 4, with_keys: 5, without_keys: 2 },
  ]);
  assert.deepEqual(
    found.map(({ name, withKeys, withoutKeys }) => [name, withKeys, withoutKeys]),
    [
      ["nginx", 9, 2],
      ["uv", 0, 3],
      ["idle", 0, 0],
    ],
  );
  assert.match(unownedInShort(1), /^1 connection without keys of which no process is known/);
});

test("facts of TLS have names in people's words, and those that say nothing are left out", () => {
  const tls: Tls = {
    version: "1.3",
    cipher_suite: "TLS_AES_128_GCM_SHA256",
    alpn: "",
    sni: "shop.example",
    ja3: "",
    ja3s: "",
    ja4: "",
    resumed: true,
    early_data: false,
    key_source: "keylog",
    quantum: 7,
  };
  assert.deepEqual(
    facts(tls).map(([, name, words]) => `${name}: ${words}`),
    [
      "Version: TLS 1.3",
      "Cipher suite: TLS_AES_128_GCM_SHA256",
      "Server name (SNI): shop.example",
      "Keys from: a key log",
      "Resumed: yes, an earlier session was gone on with",
      "quantum: 7",
    ],
  );
});

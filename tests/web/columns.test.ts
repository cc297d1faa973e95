import assert from "node:assert/strict";
import { test } from "node:test";
import type { Summary } from "../../pysniff/web/src/entry";
import { COLUMNS, outcome } from "../../pysniff/web/src/feed/columns";
import { summary } from "./calls";

const TLS = {
  version: "1.3",
  cipher_suite: "TLS_AES_128_GCM_SHA256",
  alpn: "",
  sni: "",
  ja3: "",
  ja3s: "",
  ja4: "",
  resumed: false,
  early_data: false,
  key_source: "keylog",
};

function column(key: string) {
  const found = COLUMNS.find((one) => one.key === key);
  assert.ok(found);
  return found;
}

const seen = (changes: Partial<Summary>, nodes = ["n1"]) => ({ summary: summary(1, changes), nodes });

test("what is done stands apart from what it is done to", () => {
  for (const [protocol, told, method, rest] of [
    ["http", "GET /cart", "GET", "/cart"],
    ["http", "200 OK", "", "200 OK"], // an answer whose request was not seen
    ["redis", "SET cart:7 1", "SET", "cart:7 1"],
    ["dns", "AAAA shop.example", "AAAA", "shop.example"],
    ["grpc", "shop.Cart/Add", "", "shop.Cart/Add"],
    ["tcp", "17 bytes in 3 packets", "", "17 bytes in 3 packets"],
  ] as const) {
    const call = seen({ protocol, summary: told });
    assert.deepEqual([column("method").shown(call), column("summary").shown(call)], [method, rest]);
  }
});

test("a value of a cell asks for calls that have it", () => {
  const call = seen({ summary: "GET http://shop/cart" });
  assert.deepEqual(column("summary").asks?.(call), ["path", "/cart"]);
  assert.deepEqual(column("method").asks?.(call), ["method", "GET"]);
  assert.deepEqual(column("status").asks?.(call), ["status_code", 200]);
  assert.equal(column("status").asks?.(seen({ protocol: "redis", status: "OK" })), null);
  assert.deepEqual(column("summary").asks?.(seen({ protocol: "grpc", summary: "shop.Cart/Add" })), [
    "grpc_method",
    "Add",
  ]);
});

test("how a call ended has a word", () => {
  assert.equal(outcome(summary(1, { state: "open", status: "" })), "open");
  assert.equal(outcome(summary(1, { status: "304" })), "moved");
  assert.equal(outcome(summary(1, { status: "404", ok: false })), "warn");
  assert.equal(outcome(summary(1, { status: "500", ok: false })), "bad");
  assert.equal(outcome(summary(1, { status: "", ok: false, faults: ["unanswered"] })), "warn");
});

test("the status of a call that goes on says so", () => {
  const open = { state: "open", completed: null } as const;
  assert.equal(column("status").shown(seen({ ...open, status: "" })), "…");
  assert.equal(column("status").shown(seen({ ...open, status: "200" })), "200…");
  assert.equal(column("status").shown(seen({ status: "200" })), "200");
  assert.equal(column("status").shown(seen({ status: "" })), "–");
});

test("what came over TLS and what is odd is marked, with words", () => {
  const marks = (changes: Partial<Summary>) => {
    const shown = column("marks").shown(seen(changes)) as { type: (props: object) => unknown; props: object };
    return JSON.stringify(shown.type(shown.props));
  };
  assert.match(marks({ tls: { ...TLS, sni: "shop.example" } }), /TLS 1.3 for shop.example, decrypted/);
  assert.match(marks({ tls: { ...TLS, key_source: "plaintext" } }), /TLS 1.3, read in the program/);
  assert.match(marks({ faults: ["gap", "unanswered"] }), /packets of it are missing; no answer was seen/);
  assert.doesNotMatch(marks({}), /decrypted|missing/);
});

test("a summary of a megabyte is cut where no window reaches", () => {
  const call = seen({ summary: `GET /${"x".repeat(1_000_000)}` });
  assert.ok(String(column("summary").shown(call)).length < 1_000);
  assert.ok((column("summary").hint?.(call) ?? "").length < 1_000);
});

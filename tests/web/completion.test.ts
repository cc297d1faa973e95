import assert from "node:assert/strict";
import { test } from "node:test";
import { type Completion, complete, type Seen } from "../../pysniff/web/src/filter/completion";
import type { Language, Word } from "../../pysniff/web/src/filter/language";

const variable = (name: string, type: string, meaning = "") => ({ name, type, meaning, section: "" });

function word(signature: string, kind: Word["kind"], name: string, of: string, takes: string[], gives: string): Word {
  return { name, kind, of, takes, gives, signature, meaning: "" };
}

const language: Language = {
  variables: [
    variable("src.ip", "string"),
    variable("dst.ip", "string"),
    variable("dst.port", "int"),
    variable("dst.name", "string"),
    variable("dst.pod.name", "string"),
    variable("protocol", "string"),
    variable("timestamp", "timestamp"),
    variable("elapsed_time", "int", "microseconds"),
    variable("http", "bool"),
    variable("http1", "bool"),
    variable("method", "string"),
    variable("path", "string"),
    variable("status_code", "int", "status of the response"),
    variable("grpc_status", "int"),
    variable("request.headers", "map(string, string)"),
    variable("faults", "list(string)"),
  ],
  functions: [
    word("_ == _ -> bool", "operator", "==", "_", ["_"], "bool"),
    word("_ != _ -> bool", "operator", "!=", "_", ["_"], "bool"),
    word("int >= int -> bool", "operator", ">=", "int", ["int"], "bool"),
    word("timestamp >= timestamp -> bool", "operator", ">=", "timestamp", ["timestamp"], "bool"),
    word("_ in list(_) -> bool", "operator", "in", "_", ["list(_)"], "bool"),
    word("map(_, _)[_] -> _", "operator", "[]", "map(_, _)", ["_"], "_"),
    word("bool && bool -> bool", "operator", "&&", "bool", ["bool"], "bool"),
    word("bool || bool -> bool", "operator", "||", "bool", ["bool"], "bool"),
    word("!bool -> bool", "operator", "!", "", ["bool"], "bool"),
    word("string.startsWith(string) -> bool", "method", "startsWith", "string", ["string"], "bool"),
    word("string.size() -> int", "method", "size", "string", [], "int"),
    word("list(_).size() -> int", "method", "size", "list(_)", [], "int"),
    word("timestamp.getHours() -> int", "method", "getHours", "timestamp", [], "int"),
    word("list.exists(x, test) -> bool", "macro", "exists", "list(_)", [], "bool"),
    word("now() -> timestamp", "function", "now", "", [], "timestamp"),
    word("timestamp(string) -> timestamp", "function", "timestamp", "", ["string"], "timestamp"),
    word("string(int) -> string", "function", "string", "", ["int"], "string"),
  ],
};

const seen: Seen = (name) =>
  ({
    method: [
      { value: "GET", count: 1200 },
      { value: "POST", count: 1 },
    ],
    status_code: [{ value: 404, count: 3 }],
    path: [{ value: '/a"b', count: 2 }],
  })[name] ?? [];

/** `|` is the cursor. */
function at(text: string): Completion[] {
  return complete(text.replace("|", ""), text.indexOf("|"), language, seen);
}

function labels(text: string): string[] {
  return at(text).map(({ label }) => label);
}

/** The text after the completion of that label was taken, with the cursor. */
function taken(text: string, label: string): string {
  const one = at(text).find((found) => found.label === label);
  assert.ok(one, `${label} of ${labels(text)}`);
  const plain = text.replace("|", "");
  const whole = plain.slice(0, one.from) + one.text + plain.slice(one.to);
  return `${whole.slice(0, one.cursor)}|${whole.slice(one.cursor)}`;
}

test("variables begin with what was typed, or have it, or are about it", () => {
  assert.deepEqual(labels("stat|"), ["status_code", "grpc_status"]);
  assert.deepEqual(labels("microsec|"), ["elapsed_time"]);
  assert.ok(labels("http && met|").includes("method"));
  assert.deepEqual(labels("zzz|"), []);
  assert.equal(at("stat|")[0]?.detail, "int");
  assert.equal(at("stat|")[0]?.meaning, "status of the response");
});

test("an empty filter offers every variable", () => {
  assert.equal(labels("|").length, language.variables.length);
  assert.equal(taken("|", "http"), "http|");
});

test("behind a dot are the members, and then the methods of the type", () => {
  assert.deepEqual(labels("dst.|"), ["ip", "port", "name", "pod.name"]);
  assert.equal(taken("dst.p|", "port"), "dst.port|");
  assert.deepEqual(labels("path.|"), ["startsWith(…)", "size()"]);
  assert.equal(taken("path.st|", "startsWith(…)"), 'path.startsWith("|")');
  assert.equal(taken("path.|", "size()"), "path.size()|");
  assert.equal(taken("faults.|", "exists(x, …)"), "faults.exists(x, |)");
  assert.ok(labels("request.headers.cookie.|").includes("startsWith(…)"));
});

test("a name that a macro gives has its element's type", () => {
  assert.deepEqual(labels("faults.exists(x, x.|"), ["startsWith(…)", "size()"]);
});

test("behind a variable are the operators that fit its type", () => {
  assert.deepEqual(labels("status_code |"), ["==", "!=", ">=", "in […]"]);
  assert.deepEqual(labels("http |"), ["&&", "||", "==", "!="]);
  assert.deepEqual(labels("method == 'GET' |"), ["&&", "||"]);
  assert.equal(taken("status_code |", ">="), "status_code >= |");
  assert.equal(taken("method i|", "in […]"), "method in [|]");
});

test("a whole name says what may follow it", () => {
  assert.equal(taken("method|", "=="), "method == |");
  assert.equal(taken("http|", "&&"), "http && |");
  assert.equal(taken("path|", ".startsWith(…)"), 'path.startsWith("|")');
  assert.equal(taken("request.headers|", "[…]"), 'request.headers["|"]');
  assert.equal(taken("dst.port|", "=="), "dst.port == |");
});

test("values that were seen come with their count, the most frequent first", () => {
  assert.deepEqual(labels("method == |"), ['"GET"', '"POST"']);
  assert.equal(at("method == |")[0]?.meaning, "seen 1,200 times");
  assert.equal(at("method == |")[1]?.meaning, "seen once");
  assert.deepEqual(labels("status_code >= |"), ["404"]);
  assert.equal(taken('method in ["GET", |]', '"POST"'), 'method in ["GET", "POST"|]');
});

test("inside quotes too, up to the quote that ends them", () => {
  assert.equal(taken('method == "P|"', '"POST"'), 'method == "POST"|');
  assert.equal(taken("method == 'p|", '"POST"'), 'method == "POST"|');
  assert.equal(taken('path.startsWith("|")', String.raw`"/a\"b"`), String.raw`path.startsWith("/a\"b"|)`);
  assert.deepEqual(labels('request.body == "|"'), []);
  assert.deepEqual(labels('"stat|"'), []);
});

test("times are compared with functions that give them", () => {
  assert.deepEqual(labels("timestamp >= |"), ["now()", "timestamp(…)"]);
  assert.equal(taken("timestamp >= |", "timestamp(…)"), 'timestamp >= timestamp("|")');
  assert.deepEqual(labels("now().|"), ["getHours()"]);
  assert.deepEqual(labels("(now() - timestamp).foo|"), []);
});

test("nothing is offered in a comment or a number", () => {
  assert.deepEqual(labels("// stat|"), []);
  assert.deepEqual(labels("12|"), []);
});

test("a completion in the middle of a word replaces the word", () => {
  assert.equal(taken("sta|tus == 3", "status_code"), "status_code| == 3");
});

test("odd text is no trouble", () => {
  for (const text of [
    ")|",
    "]|",
    "a.|",
    "..|",
    "((((|",
    "].x|",
    "in |",
    "!|",
    "a[|",
    '"|',
    "1.|",
    "x in |",
    "[]|",
    "{}|",
  ]) {
    assert.ok(Array.isArray(at(text)));
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Seen } from "../../pysniff/web/src/feed/store";
import { counted } from "../../pysniff/web/src/filter/counts";
import { latest, step, texts } from "../../pysniff/web/src/filter/history";
import { all, alone, isOn, switched, turned } from "../../pysniff/web/src/filter/protocols";
import { named, read } from "../../pysniff/web/src/filter/saved";
import { Tally } from "../../pysniff/web/src/filter/tally";
import { instant, inWords, local, parsed, universal } from "../../pysniff/web/src/filter/time";
import { unfinished } from "../../pysniff/web/src/filter/unfinished";
import { look, seen } from "../../pysniff/web/src/filter/values";
import { mend } from "../../pysniff/web/src/filter/verdict";

test("the history has each filter once, the latest first, and a hundred of them", () => {
  assert.deepEqual(latest(["b", "a"], " a "), ["a", "b"]);
  assert.deepEqual(latest(["a"], "  "), ["a"]);
  let many: readonly string[] = [];
  for (let number = 0; number < 250; number++) many = latest(many, `dst.port == ${number}`);
  assert.equal(many.length, 100);
  assert.equal(many[0], "dst.port == 249");
});

test("the arrow keys stop at the oldest, and come back to what was typed", () => {
  assert.equal(step(-1, true, 2), 0);
  assert.equal(step(1, true, 2), 1);
  assert.equal(step(0, false, 2), -1);
  assert.equal(step(-1, false, 2), -1);
  assert.equal(step(-1, true, 0), -1);
});

test("what a browser kept may be anything", () => {
  assert.deepEqual(texts(["a", 1, null, { b: 2 }, "x".repeat(9_000)]), ["a"]);
  assert.deepEqual(texts("a"), []);
  assert.deepEqual(read([{ name: "a", filter: "b", more: 1 }, { name: 1 }, null, "x"]), [{ name: "a", filter: "b" }]);
  assert.deepEqual(read({ length: 3 }), []);
});

test("a saved filter has a name of its own", () => {
  const one = named([], " slow ", "elapsed_time > 1");
  assert.deepEqual(one, [{ name: "slow", filter: "elapsed_time > 1" }]);
  assert.deepEqual(named([{ name: "slow", filter: "a" }], "slow", "b"), [{ name: "slow", filter: "b" }]);
  assert.equal(typeof named([], "  ", "a"), "string");
  const full = Array.from({ length: 100 }, (_, number) => ({ name: `n${number}`, filter: "a" }));
  assert.match(String(named(full, "another", "a")), /delete one/);
});

test("times are shown in words and local time, and sent as UTC", () => {
  const now = new Date(2026, 10, 22, 15, 0, 0);
  assert.equal(inWords("", "", now), "All");
  assert.equal(inWords("15m", "", now), "Last 15 min");
  assert.equal(inWords("2h", "", now), "Last 2h");
  assert.equal(inWords("now", "", now), "From now");
  const first = instant(new Date(2026, 10, 22, 14, 3, 20).getTime());
  const last = instant(new Date(2026, 10, 21, 9, 5, 0, 250).getTime());
  assert.match(first, /^2026-11-22T\d\d:03:20Z$/);
  assert.equal(inWords(first, "", now), "Since 14:03:20");
  assert.equal(inWords(last, first, now), "21 Nov, 09:05:00.250 – 14:03:20");
  assert.equal(universal(local(first)), first);
  assert.equal(local("5m"), "");
  assert.equal(universal("nonsense"), "");
  assert.equal(parsed("1763800000000000000")?.getTime(), 1763800000000);
  assert.equal(parsed("<b>"), null);
});

test("a protocol is switched off and on in the filter itself", () => {
  assert.equal(turned("", "dns"), 'protocol != "dns"');
  assert.equal(
    turned('http || x && protocol != "dns"', "dns"),
    '(http || x && protocol != "dns") && protocol != "dns"',
  );
  assert.equal(turned('protocol != "dns" && x', "dns"), "x");
  assert.equal(turned('protocol != "dns"', "http"), 'protocol != "dns" && protocol != "http"');
  assert.equal(turned('!(protocol in ["dns", "http"])', "http"), 'protocol != "dns"');
});

test("one protocol alone, then one more, then all again", () => {
  assert.equal(alone('x && protocol != "dns"', "http"), 'x && protocol == "http"');
  assert.equal(turned('x && protocol == "http"', "dns"), 'x && protocol in ["http", "dns"]');
  assert.equal(turned('protocol in ["http", "dns"]', "dns"), 'protocol == "http"');
  assert.equal(turned('protocol == "http"', "http"), "");
  assert.equal(alone('x && protocol == "http"', "http"), "x");
  assert.equal(all('x && protocol in ["http"] && protocol != "dns"'), "x");
});

test("the legend says what the filter says", () => {
  const state = switched('status_code > 1 && protocol!="dns" && path == "protocol != \\"ws\\""');
  assert.deepEqual(state.rest, ["status_code > 1", 'path == "protocol != \\"ws\\""']);
  assert.equal(isOn(state, "dns"), false);
  assert.equal(isOn(state, "ws"), true);
  assert.equal(isOn(switched('protocol == "http"'), "ws"), false);
});

function call(id: string, protocol: string, more: object = {}): Seen {
  const end = { ip: "10.0.0.1", port: 80, name: "" };
  const summary = { id, protocol, state: "closed", src: end, dst: end, summary: "", status: "", version: "", ...more };
  return { summary, nodes: ["n1"] } as unknown as Seen;
}

test("a call is counted once, however often it is revised", () => {
  const open = new Set<string>();
  const first = counted(new Map(), [call("a", "tcp", { state: "open" }), call("b", "http")], open);
  const second = counted(first, [call("a", "tcp", { state: "open" }), call("a", "tcp"), call("c", "http")], open);
  assert.deepEqual([...second], [["tcp", 1], ["http", 2]]); // biome-ignore format: a table
  assert.equal(open.size, 0);
});

test("protocols without end are counted together", () => {
  const calls = Array.from({ length: 200 }, (_, number) => call(`${number}`, `p${number}`));
  const found = counted(new Map(), calls, new Set());
  assert.equal(found.size, 41);
  assert.equal(found.get("others"), 160);
});

test("values without end: the frequent ones stay", () => {
  const tally = new Tally<string>();
  for (let number = 0; number < 10_000; number++) {
    tally.add("often");
    tally.add(`once ${number}`);
  }
  assert.deepEqual(tally.top()[0], { value: "often", count: 10_000 });
  assert.ok(tally.top().length <= 400);
});

test("values are taken from the lines of calls", () => {
  look([
    call("1", "http", { summary: "GET /a?b=1", status: "404", version: "1.1" }),
    call("2", "grpc", { summary: "shop.Stock/Find" }),
    call("3", "redis", { summary: "HSET cart:7 x" }),
    call("4", "http", { summary: `GET /${"x".repeat(10_000)}`, status: "-" }),
  ]);
  const values = (name: string) => seen(name).map(({ value }) => value);
  assert.deepEqual(values("path"), ["/a"]);
  assert.deepEqual(values("status_code"), [404]);
  assert.deepEqual(values("grpc_service"), ["shop.Stock"]);
  assert.deepEqual(values("redis_key"), ["cart:7"]);
  assert.deepEqual(values("nothing"), []);
});

test("an unfinished last word is no error yet", () => {
  const at = (text: string, wrong: number) => unfinished(text.replace("|", ""), text.indexOf("|"), wrong);
  assert.ok(at("http && stat|", 8));
  assert.ok(at("http && status_code >=|", 22));
  assert.ok(at("http &|", 5));
  assert.ok(at('path.startsWith("/a|")', 16));
  assert.ok(at("path.starts|", 5));
  assert.ok(at("|", 0));
  assert.ok(!at("stat && http|", 0));
  assert.ok(!at("stat| && http", 0));
});

test("what was perhaps meant takes the place of what is wrong", () => {
  assert.equal(mend("http && statuscode > 499", 8, "did you mean status_code?"), "http && status_code > 499");
  assert.equal(mend("src.prt == 1", 0, "did you mean src.port?"), "src.port == 1");
  assert.equal(mend("http &&", 7, ""), null);
  assert.equal(mend('"statuscode"', 1, "did you mean status_code?"), null);
});

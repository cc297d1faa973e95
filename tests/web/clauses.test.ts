import assert from "node:assert/strict";
import { test } from "node:test";
import { added, clause, conditions, member, oneLine, without } from "../../pysniff/web/src/filter/clauses";
import { quoted, unquoted } from "../../pysniff/web/src/filter/literal";
import { meant, offset, tokens } from "../../pysniff/web/src/filter/tokens";

test("a clause says the value as KFL writes it", () => {
  assert.equal(clause("dst.port", 80), "dst.port == 80");
  assert.equal(clause("dst.port", 80, true), "dst.port != 80");
  assert.equal(clause("http", true), "http");
  assert.equal(clause("http", true, true), "!http");
  assert.equal(clause("complete", false), "!complete");
  assert.equal(clause("path", '/a"b\\c'), String.raw`path == "/a\"b\\c"`);
  assert.equal(clause(member("request.headers", "x-a"), "1", true), 'map_get(request.headers, "x-a", "") != "1"');
});

test("what a reader would not see stands as an escape", () => {
  assert.equal(quoted("a\nb\r\t\0\x7f\x85"), String.raw`"a\nb\r\t\u0000\u007f\u0085"`);
  assert.equal(quoted("\u202egnp.exe\u2066\u200b\ufeff"), String.raw`"\u202egnp.exe\u2066\u200b\ufeff"`);
  assert.equal(quoted("\u2028\u2029\u00a0\u3000 "), String.raw`"\u2028\u2029\u00a0\u3000 "`);
  assert.equal(quoted("\u{e0001}"), String.raw`"\U000e0001"`);
  assert.equal(quoted("café 😀 日本"), '"café 😀 日本"');
  assert.equal(quoted("\ud800x"), '"\ufffdx"');
});

test("what was quoted is read back", () => {
  for (const text of ["", "plain", "a\"b'c`d\\e\\", "\0\x01\x1f\x7f", "\u202e\u{e0001}😀", "${x}<b>&&||"]) {
    assert.equal(unquoted(quoted(text)), text);
  }
  assert.equal(unquoted(String.raw`'\x41\u0042\U00000043\104\a\?'`), "ABCD\x07?");
  assert.equal(unquoted(String.raw`r"\d"`), String.raw`\d`);
  assert.equal(unquoted('"""a\r\nb"""'), "a\nb");
  assert.equal(unquoted('b"a"'), null);
  assert.equal(unquoted(String.raw`"\q"`), null);
});

test("a value of any length is asked for by how it begins", () => {
  const long = clause("path", "é".repeat(1_000_000));
  assert.ok(long.startsWith('path.startsWith("é') && long.length < 600);
  assert.equal(clause("path", "a".repeat(501), true)[0], "!");
  const halved = clause("path", `${"a".repeat(499)}${"😀".repeat(9)}`);
  assert.ok(!/[\ud800-\udfff]/.test(halved));
});

test("a clause joins what is asked already", () => {
  assert.equal(added("", "http"), "http");
  assert.equal(added("http", "dst.port == 80"), "http && dst.port == 80");
  assert.equal(added("a == 1 || b", "c"), "(a == 1 || b) && c");
  assert.equal(added("a ? b : c", "d"), "(a ? b : c) && d");
  assert.equal(added('path == "a||b"', "c"), 'path == "a||b" && c');
  assert.equal(added(String.raw`path == "a\"||b"`, "c"), String.raw`path == "a\"||b" && c`);
  assert.equal(added("(a || b)", "c"), "(a || b) && c");
  assert.equal(added('r"\\" == x || y', "c"), '(r"\\" == x || y) && c');
});

test("a clause that is there already changes nothing", () => {
  assert.equal(added('http && method=="GET"', 'method == "GET"'), 'http && method=="GET"');
  assert.equal(added("(http) && b", "http"), "(http) && b");
});

test("the opposite, or another value of the same variable, replaces", () => {
  assert.equal(added('http && method == "GET"', 'method != "GET"'), 'http && method != "GET"');
  assert.equal(added('method != "GET" && http', 'method == "GET"'), 'http && method == "GET"');
  assert.equal(added("!http && b", "http"), "b && http");
  assert.equal(added("http && b", "!http"), "b && !http");
  assert.equal(added('method == "GET" && b', 'method == "POST"'), 'b && method == "POST"');
  assert.equal(added("grpc_status == -1", "grpc_status == 5"), "grpc_status == 5");
  assert.equal(added('method != "GET"', 'method != "POST"'), 'method != "GET" && method != "POST"');
  assert.equal(added('(a == "x" || b)', 'a == "y"'), '(a == "x" || b) && a == "y"');
});

test("a condition is taken out again", () => {
  assert.equal(without('http && protocol != "dns" && b', 'protocol != "dns"'), "http && b");
  assert.equal(without('protocol!="dns"', 'protocol != "dns"'), "");
  assert.equal(without("a || b", "c"), "(a || b)");
});

test("conditions are those between the outermost &&", () => {
  assert.deepEqual(conditions('a && (b && c) && d.exists(x, x && y) && "&&" in e'), [
    "a",
    "(b && c)",
    "d.exists(x, x && y)",
    '"&&" in e',
  ]);
  assert.deepEqual(conditions(" // nothing"), []);
});

test("comments and line ends do not swallow what is added", () => {
  assert.equal(added("http // only\n&& b // last", "c"), "http && b && c");
  assert.equal(oneLine('a == """x\ny""" &&\n b'), String.raw`a == "x\ny" && b`);
  assert.equal(oneLine('url == "http://a"'), 'url == "http://a"');
});

test("every character is in a token", () => {
  for (const text of ['a == "open', '"""x" || \'', "§ ~ b'\\", "1.5e3 0x1Fu .5 `a b` in inner", "\ud800 😀"]) {
    assert.equal(
      tokens(text)
        .map((token) => token.text)
        .join(""),
      text,
    );
  }
  assert.deepEqual(
    meant('x in ["a"]').map(({ kind }) => kind),
    ["name", "sign", "sign", "string", "sign"],
  );
});

test("columns count characters", () => {
  assert.equal(offset("http && x", 1, 9), 8);
  assert.equal(offset('"😀" && x', 1, 8), 8);
  assert.equal(offset("a\nbc", 2, 2), 3);
  assert.equal(offset("a", 1, 99), 1);
});

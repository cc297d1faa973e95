import assert from "node:assert/strict";
import { test } from "node:test";
import { type Content, content, ofBytes, parameter } from "../../pysniff/web/src/call/body/content";
import { events } from "../../pysniff/web/src/call/body/event_stream";
import { fileName } from "../../pysniff/web/src/call/body/file_name";
import { form } from "../../pysniff/web/src/call/body/form";
import { hex, offset, printable } from "../../pysniff/web/src/call/body/hex_rows";
import { kinds } from "../../pysniff/web/src/call/body/kind";
import { found, row, rowOf, starts } from "../../pysniff/web/src/call/body/line_starts";
import { field, multipart } from "../../pysniff/web/src/call/body/multipart";
import { protobuf } from "../../pysniff/web/src/call/body/wire";
import { json } from "../../pysniff/web/src/call/tree/json";
import { type Node, written } from "../../pysniff/web/src/call/tree/node";
import { fields, messages } from "../../pysniff/web/src/call/tree/protobuf";
import { visible } from "../../pysniff/web/src/call/visible";

const octets = (text: string) => new TextEncoder().encode(text);
const text = (words: string, type = ""): Content => content({ text: words }, type);
const binary = (bytes: number[], type = "") => ofBytes(new Uint8Array(bytes), type, false);

test("the type says how a body is shown, and where it says nothing its beginning does", () => {
  const ways: [Content, string][] = [
    [text("{}", "application/json; charset=utf-8"), "json text hex"],
    [text("x", "application/problem+json"), "json text hex"],
    [text('{"a": 1}'), "json text hex"],
    [text("{not json"), "text hex"],
    [text("<a/>", "application/rss+xml"), "xml text hex"],
    [text('<?xml version="1.0"?><a/>'), "xml text hex"],
    [text("<b>x</b>", "text/html"), "text hex"],
    [text("a=1", "application/x-www-form-urlencoded"), "form text hex"],
    [text("data: x\n\n", "text/event-stream"), "events text hex"],
    [text("{}\n{}", "application/x-ndjson"), "lines text hex"],
    [text("--x", "multipart/form-data; boundary=x"), "parts text hex"],
    [text("<svg/>", "image/svg+xml"), "image xml text hex"],
    [binary([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a]), "image hex"],
    [binary([0xff, 0xd8, 0xff, 0xe0], "application/octet-stream"), "image hex"],
    [binary([0, 1, 2], "application/x-protobuf"), "protobuf hex"],
    [binary([0, 1, 2], "video/mp4"), "hex"],
  ];
  for (const [one, expected] of ways) assert.equal(kinds(one).join(" "), expected, one.type || String(one.text));
});

test("parameters of a type come without their quotes", () => {
  assert.equal(parameter('multipart/form-data; boundary="a b\\"c"', "boundary"), 'a b"c');
  assert.equal(parameter("form-data; name=x; filename=y.png", "filename"), "y.png");
  assert.equal(parameter("text/plain", "boundary"), "");
});

test("the parts of a multipart body have their fields and octets", () => {
  const data = octets(
    '--cut\r\nContent-Disposition: form-data; name="tea"\r\n\r\nAssam\r\n--cut\r\n' +
      'Content-Disposition: form-data; name="f"; filename="a--cut.bin"\r\nContent-Type: image/png\r\n\r\n\r\n--cutter\n\r\n--cut--\r\n',
  );
  const { parts, more } = multipart(data, "cut") ?? { parts: [], more: true };
  assert.equal(more, false);
  assert.deepEqual(
    parts.map((part) => [field(part, "content-type"), new TextDecoder().decode(part.bytes), part.cut]),
    [
      ["", "Assam", false],
      ["image/png", "\r\n--cutter\n", false],
    ],
  );
});

test("a multipart body that is cut says so, and one without its boundary is none", () => {
  assert.equal(multipart(octets("--x\r\n\r\nabc"), "x")?.parts[0]?.cut, true);
  assert.equal(multipart(octets("nothing"), "x"), null);
  assert.equal(multipart(octets("--x"), ""), null);
  assert.equal(multipart(octets("--x\n\n1\n".repeat(300)), "x")?.more, true);
});

test("a form has decoded names and values, in their order, a broken one as it was sent", () => {
  assert.deepEqual(form("a=1+2&b=%C3%A9&a=&c&d=%").pairs, [
    ["a", "1 2"],
    ["b", "é"],
    ["a", ""],
    ["c", ""],
    ["d", "%"],
  ]);
  assert.equal(form("a&".repeat(3_000)).more, 1_001);
});

test("server-sent events are read as browsers read them", () => {
  const stream = ": hello\nevent: price\r\nid: 7\ndata: 1\ndata:2\n\ndata: x\n\ndata: cut";
  assert.deepEqual(events(stream).events, [
    { event: "price", id: "7", data: "1\n2", cut: false },
    { event: "message", id: "7", data: "x", cut: false },
    { event: "message", id: "7", data: "cut", cut: true },
  ]);
});

test("bytes stand in rows of sixteen", () => {
  const bytes = octets("GET / HTTP/1.1\r\n\x00");
  assert.equal(offset(16), "00000010");
  assert.equal(hex(bytes, 0, 16), "47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a ");
  assert.equal(printable(bytes, 0, 16), "GET / HTTP/1.1··");
  assert.equal(hex(bytes, 16, 8), `00 ${"   ".repeat(7)}`);
});

test("lines longer than the columns are broken, and say the number of their line once", () => {
  const words = "abcdef\nxy\n\nend";
  const made = starts(words, 4);
  assert.deepEqual(
    made.line.map((line, place) => [line, row(words, made, place)]),
    [
      [1, "abcd"],
      [0, "ef"],
      [2, "xy"],
      [3, ""],
      [4, "end"],
    ],
  );
  assert.equal(rowOf(made, words.indexOf("f")), 1);
  assert.equal(rowOf(made, words.indexOf("end")), 4);
});

test("a megabyte in one line is rows of bounded length, and none of its signs is lost", () => {
  const words = "0123456789".repeat(100_000);
  const made = starts(words, 120);
  assert.equal(made.line.length, Math.ceil(words.length / 120));
  assert.equal(made.line.map((_, place) => row(words, made, place)).join(""), words);
});

test("wide signs take two columns, and a pair of surrogates is not parted", () => {
  const words = "茶茶茶🍵🍵";
  const made = starts(words, 4);
  assert.deepEqual(
    made.line.map((_, place) => row(words, made, place)),
    ["茶茶", "茶🍵", "🍵"],
  );
});

test("words are found whatever their case", () => {
  assert.deepEqual(found("Tea, tea, TEA", "tea"), [0, 5, 10]);
  assert.deepEqual(found("aaa", ""), []);
});

test("what is saved has a name that is nothing but a name", () => {
  const names: [string, string, string][] = [
    ["/a/tea.png?x=1", "image/png", "tea.png"],
    ["/orders", "application/json; charset=utf-8", "orders.json"],
    ["../../etc/passwd", "", "passwd.bin"],
    ["/", "text/html", "body.html"],
    ["/..", "", "body.bin"],
    ["/-rf $(x)`y`", "text/plain", "rf_x_y.txt"],
    ["C:\\a\\.bashrc", "", "bashrc.bin"],
    ["/\u202egnp.exe", "", "gnp.exe"],
  ];
  for (const [wanted, type, expected] of names) assert.equal(fileName(wanted, type), expected);
  assert.ok(fileName("x".repeat(500), "").length < 100);
});

test("what hides in a text, or turns it round, is shown", () => {
  assert.equal(visible("a\x00b\u202ec\x7f\tx\n"), "a\u2400b\\u202ec\u2421\tx\n");
});

const shown = (node: Node): unknown => [
  node.name,
  node.text,
  node.note,
  ...(node.children ? [node.children.map(shown)] : []),
];

test("fields without a name are what they most likely are, and what they may be", () => {
  const readings = json(
    '{"2":[{"varint":2}],"4":[{"fixed64":4616471093031469056,"double":4.25}],"9":[{"varint":18446744073709551615,"int":-1}],' +
      '"5":[{"text":"malty","message":{"13":[{"fixed32":2037673057,"float":7.9319914e+34}]}},{"text":"x"}],' +
      '"1":[{"base64":"CAM=","message":{"1":[{"varint":3}]}}],"6":[{"base64":"AP8="}]}',
  );
  assert.deepEqual(fields(null, readings).children?.map(shown), [
    ["2", "2", "varint"],
    ["4", "4.25", "double, or 4616471093031469056 as fixed64"],
    ["9", "-1", "int, or 18446744073709551615 as varint"],
    ["5", "malty", "text, or a message", [["13", "2037673057", "fixed32, or 7.9319914e+34 as float"]]],
    ["5", "x", "text"],
    ["1", "", "message", [["1", "3", "varint"]]],
    ["6", "0x00ff", "bytes"],
  ]);
});

test("fields with a name are ProtoJSON, and a map of numbers is no list of readings", () => {
  const named = json('{"id":"9007199254740993","stock":{"1":"x","2":["a"]},"7":[{"varint":1}]}');
  assert.deepEqual(fields(null, named).children?.map(shown), [
    ["id", "9007199254740993", ""],
    [
      "stock",
      "",
      "",
      [
        ["1", "x", ""],
        ["2", "", "", [[0, "a", ""]]],
      ],
    ],
    ["7", "1", "varint"],
  ]);
});

test("messages say their size, and whether they were compressed or are cut", () => {
  const list = json(
    '[{"compressed":true,"size":2,"fields":{"1":[{"varint":3}]}},{"compressed":false,"size":1,"truncated":true}]',
  );
  assert.deepEqual(
    messages(list).children?.map(({ note }) => note),
    ["2 bytes, compressed", "1 byte, not all of it is here"],
  );
});

test("a message off the wire has the readings of docs/grpc.md", () => {
  const bytes = [0x08, 0x96, 0x01, 0x12, 0x05, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x12, 0x02, 0x68, 0x69];
  const read = protobuf(new Uint8Array(bytes));
  assert.deepEqual(JSON.parse(written(read as Node)), {
    "1": [{ varint: 150 }],
    "2": [{ text: "hello" }, { text: "hi", message: { "13": [{ varint: 105 }] } }],
  });
  assert.equal(protobuf(new Uint8Array([0x08])), null);
  assert.equal(protobuf(octets("<html>not protobuf</html>")), null);
});

test("bytes that nest for ever, or are all guesses, end", () => {
  const deep: number[] = [];
  for (let size = 0; size < 120; size += 2) deep.unshift(0x0a, size);
  assert.ok(protobuf(new Uint8Array(deep)));
  protobuf(new Uint8Array(1_000_000).fill(0x0a));
  protobuf(new Uint8Array(1_000_000).fill(0x08));
});

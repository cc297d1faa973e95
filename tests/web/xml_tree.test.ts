import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "../../pysniff/web/src/call/tree/node";
import { NotXml, xml } from "../../pysniff/web/src/call/tree/xml";

const outline = (node: Node): unknown =>
  node.kind === "element" ? [node.name, node.text, ...(node.children ?? []).map(outline)] : `${node.kind} ${node.text}`;

test("elements, attributes, text, comments and CDATA are a tree", () => {
  const text = `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "y">]>
    <a n="1"  m='two'><b>x &lt; y &#233;</b><!-- why --><c/><![CDATA[<raw>]]></a>`;
  assert.deepEqual(outline(xml(text)), [
    "a",
    `n="1" m='two'`,
    ["b", "", "text x < y é"],
    "comment why",
    ["c", ""],
    "text <raw>",
  ]);
});

test("entities of a document are not expanded, so nothing grows", () => {
  const bomb = '<!DOCTYPE a [<!ENTITY b "&c;&c;"><!ENTITY c "&d;&d;">]><a>&b;</a>';
  assert.deepEqual(outline(xml(bomb)), ["a", "", "text &b;"]);
});

test("what is not well formed is refused", () => {
  for (const text of ["", "x", "<a>", "<a></b>", "<a b></a>", "<a b=c/>", "<a", "</a>", "<>", "<a/>x"]) {
    assert.throws(() => xml(text), NotXml, text);
  }
  assert.throws(() => xml("<a>".repeat(600)), /deeper/);
});

test("what is cut shows its beginning", () => {
  const text = '<a n="1"><b>one</b><c>two</c></a>';
  for (let size = 9; size < text.length; size++)
    assert.equal(xml(text.slice(0, size), true).note, "cut here", text.slice(0, size));
});

// Prints what the page's packet reader makes of a pcapng: a line of tab-separated fields for each packet.
// tests/test_web_layers.py compares them with tshark's.
import { readFileSync } from "node:fs";
import { read } from "../../pysniff/web/src/packets/capture";
import { Pcapng } from "../../pysniff/web/src/packets/pcapng";
import { relative } from "../../pysniff/web/src/packets/transport";

for (const file of process.argv.slice(2)) {
  const pcapng = new Pcapng({ packets: 1_000_000, bytes: 1 << 30 });
  const data = readFileSync(file);
  // In odd pieces, as a network would bring it.
  for (let at = 0; at < data.length; at += 65_521) pcapng.push(data.subarray(at, at + 65_521));
  pcapng.end();
  const capture = read(pcapng);
  process.stdout.write(`#\t${file}\t${capture.faultCount}\t${capture.faults[0] ?? ""}\n`);
  for (const { packet, facts, bases } of capture.lines) {
    const { tcp, payload } = facts;
    const time =
      packet.time === null
        ? ""
        : `${packet.time / 1_000_000_000n}.${String(packet.time % 1_000_000_000n).padStart(9, "0")}`;
    const numbers = tcp
      ? [
          tcp.seq,
          tcp.ack,
          tcp.flags,
          tcp.window,
          tcp.length,
          relative(tcp.seq, bases?.seq ?? 0),
          relative(tcp.ack, bases?.ack ?? 0),
        ]
      : ["", "", "", "", facts.protocol === "UDP" ? (payload?.length ?? "") : "", "", ""];
    const fields = [
      packet.number,
      time,
      packet.wire,
      packet.data.length,
      facts.src,
      facts.dst,
      facts.srcPort ?? "",
      facts.dstPort ?? "",
      facts.protocol,
      ...numbers,
      facts.fragment ? 1 : 0,
      packet.comments.join("|"),
    ];
    process.stdout.write(`${fields.join("\t")}\n`);
  }
}

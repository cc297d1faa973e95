import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "../../pysniff/web/node_modules/@msgpack/msgpack";
import { Asking, type Socket } from "../../pysniff/web/src/feed/asking";

class Hub {
  readonly said: string[] = [];
  readonly sockets: FakeSocket[] = [];
  readonly timers: (() => void)[] = [];
  state: "ready" | "away" | "signed out" = "ready";
  asking = new Asking(
    {
      connect: () => {
        const socket = new FakeSocket();
        this.sockets.push(socket);
        return socket;
      },
      ready: async () => this.state,
      later: (action) => {
        this.timers.push(action);
        return () => {
          this.timers.splice(this.timers.indexOf(action), 1);
        };
      },
    },
    {
      opened: (again) => this.said.push(again ? "back" : "opened"),
      state: (line) => this.said.push(line),
      wanted: () => true,
      told: (message) => this.said.push("filter" in message ? `asked ${message.filter}` : message.type),
      refused: (why, question) => this.said.push(`refused ${question.filter}: ${why.message}`),
    },
  );

  async due(): Promise<void> {
    for (const timer of this.timers.splice(0)) timer();
    await new Promise((done) => setImmediate(done));
  }

  get socket(): FakeSocket {
    const last = this.sockets.at(-1);
    assert.ok(last);
    return last;
  }

  async open(): Promise<this> {
    await this.asking.open();
    this.socket.onopen?.(new Event("open"));
    this.said.length = 0;
    return this;
  }
}

class FakeSocket implements Socket {
  binaryType: "arraybuffer" | "blob" = "blob";
  onopen: ((event: Event) => unknown) | null = null;
  onclose: ((event: CloseEvent) => unknown) | null = null;
  onmessage: ((event: MessageEvent) => unknown) | null = null;
  readonly asked: string[] = [];
  send(text: string): void {
    this.asked.push(JSON.parse(text).filter);
  }
  tell(message: object): void {
    const bytes = encode(message).slice();
    this.onmessage?.(new MessageEvent("message", { data: bytes.buffer }));
  }
  drop(): void {
    this.onclose?.(new Event("close") as CloseEvent);
  }
}

const error = (code: string) => ({ type: "error", code, message: "because", hint: "" });
const asked = (filter: string) => ({ type: "asked", question: 1, filter, follow: true });

test("a question waits until the connection is there", async () => {
  const hub = new Hub();
  hub.asking.ask({ filter: "a" });
  await hub.asking.open();
  assert.deepEqual(hub.socket.asked, []);
  hub.socket.onopen?.(new Event("open"));
  assert.deepEqual(hub.socket.asked, ["a"]);
  assert.deepEqual(hub.said, ["open", "opened"]);
});

test("a question waits for the second connection where the first one fails", async () => {
  const hub = new Hub();
  hub.asking.ask({ filter: "a" });
  await hub.asking.open();
  hub.socket.drop();
  await hub.due();
  hub.socket.onopen?.(new Event("open"));
  assert.deepEqual(hub.socket.asked, ["a"]);
  assert.deepEqual(hub.said, ["away", "open", "opened"]);
});

test("what comes before a question is accepted belongs to the one before, and is skipped", async () => {
  const { asking, socket, said } = await new Hub().open();
  asking.ask({ filter: "a" });
  socket.tell(asked("a"));
  socket.tell({ type: "caught_up", nodes: {} });
  asking.ask({ filter: "b" });
  socket.tell({ type: "missed", count: 3, why: "slow" });
  socket.tell(error("busy"));
  socket.tell(asked("b"));
  socket.tell({ type: "missed", count: 4, why: "slow" });
  assert.deepEqual(said, ["asked a", "caught_up", "asked b", "missed"]);
});

test("of questions that come while one is asked the last one counts", async () => {
  const { asking, socket, said } = await new Hub().open();
  for (const filter of ["a", "b", "c"]) asking.ask({ filter });
  assert.deepEqual(socket.asked, ["a"]);
  socket.tell(asked("a"));
  socket.tell({ type: "missed", count: 4, why: "slow" });
  assert.deepEqual(socket.asked, ["a", "c"]);
  socket.tell(asked("c"));
  assert.deepEqual(said, ["asked c"]);
});

test("a refused question is told with its words, and the next one is asked", async () => {
  const { asking, socket, said } = await new Hub().open();
  asking.ask({ filter: "x ==" });
  socket.tell(error("filter"));
  asking.ask({ filter: "a" });
  socket.tell(asked("a"));
  assert.deepEqual(said, ["refused x ==: because", "asked a"]);
});

test("a question that came too soon is put again", async () => {
  const hub = await new Hub().open();
  hub.asking.ask({ filter: "a" });
  hub.socket.tell(error("rate"));
  assert.deepEqual(hub.said, []);
  await hub.due();
  assert.deepEqual(hub.socket.asked, ["a", "a"]);
});

test("a connection that ends is made again, and says so", async () => {
  const hub = await new Hub().open();
  hub.asking.ask({ filter: "a" });
  hub.socket.drop();
  assert.deepEqual(hub.said, ["away"]);
  await hub.due();
  assert.equal(hub.sockets.length, 2);
  hub.socket.onopen?.(new Event("open"));
  assert.deepEqual(hub.said, ["away", "open", "back"]);
  assert.deepEqual(hub.socket.asked, [], "who asks anew knows what from");
});

test("a hub that is away is tried again, one that wants a token is not until somebody says so", async () => {
  const hub = new Hub();
  hub.state = "away";
  await hub.asking.open();
  hub.state = "signed out";
  await hub.due();
  assert.deepEqual(hub.said, ["away", "signed out"]);
  assert.deepEqual([hub.timers.length, hub.sockets.length], [0, 0]);
  hub.state = "ready";
  await hub.asking.open();
  assert.equal(hub.sockets.length, 1);
});

test("what an old connection says late does not matter", async () => {
  const hub = await new Hub().open();
  const old = hub.socket;
  old.drop();
  await hub.due();
  old.drop();
  assert.equal(hub.sockets.length, 2);
});

test("a hub that is to rest is asked for nothing, of which nothing is told", async () => {
  const { asking, socket, said } = await new Hub().open();
  asking.ask({ filter: "a" });
  socket.tell(asked("a"));
  asking.rest();
  assert.equal(socket.asked.length, 2);
  socket.tell(asked(""));
  socket.tell({ type: "end", figures: {} });
  asking.ask({ filter: "b" });
  socket.tell(asked("b"));
  assert.deepEqual(said, ["asked a", "asked b"]);
});

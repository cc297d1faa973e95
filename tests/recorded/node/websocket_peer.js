'use strict';
// A WebSocket server or client on `ws` that plays dialogues and logs what it said and heard, a line of JSON each;
// recorded/websocket_peer.py is the same, recorded/websocket_plan.py says what stands in a plan.
//   node websocket_peer.js server PLAN LOG          prints its ports, ends with its standard input
//   node websocket_peer.js client PLAN LOG PORTS
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const WebSocket = require('ws');

class Peer {
  constructor(socket, side, client, log) {
    Object.assign(this, { socket, side, client, log, heard: 0, wait: null });
    socket.on('message', (data, binary) => {
      this.note(false, binary ? 'binary' : 'text', data);
      this.heard += 1;
      if (this.wait) this.wait();
    });
    socket.on('ping', (data) => this.note(false, 'ping', data));
    socket.on('pong', (data) => this.note(false, 'pong', data));
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => {
        if (code !== 1006) this.note(false, 'close', reason, code === 1005 ? null : code);
        resolve();
      });
    });
  }

  note(sent, opcode, data, code = null) {
    const sha256 = crypto.createHash('sha256').update(data).digest('hex');
    const line = { client: this.client, side: this.side, sent, opcode, size: data.length, sha256, code };
    fs.appendFileSync(this.log, JSON.stringify(line) + '\n');
  }

  say({ opcode, parts, ping }) {
    const pieces = parts.map((part) => Buffer.from(part, 'base64'));
    this.note(true, opcode, Buffer.concat(pieces));
    if (opcode === 'ping') {
      this.socket.ping(pieces[0]);
      return;
    }
    pieces.forEach((piece, n) => {
      this.socket.send(piece, { binary: opcode === 'binary', fin: n === pieces.length - 1 });
      if (ping) {
        this.note(true, 'ping', Buffer.from('between'));
        this.socket.ping('between');
      }
    });
  }

  hear(count) {
    return new Promise((resolve) => {
      this.wait = () => { if (this.heard >= count) resolve(); };
      this.wait();
    });
  }

  async play({ turns, close }) {
    let due = 0;
    for (const turn of turns) {
      for (const side of ['client', 'server']) {
        if (side === this.side) turn[side].forEach((one) => this.say(one));
        else await this.hear(due += turn[side].filter((one) => one.opcode !== 'ping').length);
      }
    }
    if (close.side === this.side) {
      if (close.abort) this.socket.terminate();
      else if (close.code === null) this.socket.close();
      else this.socket.close(close.code, close.reason);
    }
    await this.closed;
  }
}

function options({ deflate, client_takeover, server_takeover, bits }) {
  return deflate && {
    threshold: 0, serverNoContextTakeover: !server_takeover, clientNoContextTakeover: !client_takeover,
    serverMaxWindowBits: bits, concurrencyLimit: 1,
  };
}

function serve(plan, log) {
  const servers = plan.deals.map((deal) => {
    const server = http.createServer();
    const accept = new WebSocket.Server({ server, perMessageDeflate: options(deal), maxPayload: 0 });
    accept.on('connection', (socket, request) => {
      new Peer(socket, 'server', request.socket.remotePort, log).play(plan.dialogues[Number(request.url.slice(1))]);
    });
    return server;
  });
  Promise.all(servers.map((server) => new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(server.address().port));
  }))).then((ports) => console.log(JSON.stringify(ports)));
  process.stdin.on('end', () => process.exit(0)).resume();
}

async function playAll(plan, log, ports) {
  for (const [number, dialogue] of plan.dialogues.entries()) {
    const perMessageDeflate = { threshold: 0, concurrencyLimit: 1 };
    const socket = new WebSocket(`ws://127.0.0.1:${ports[dialogue.deal]}/${number}`, { perMessageDeflate, maxPayload: 0 });
    const peer = new Peer(socket, 'client', 0, log);
    await new Promise((resolve) => { socket.on('open', resolve); });
    peer.client = socket._socket.localPort;
    await peer.play(dialogue);
  }
}

const [role, plan, log, ports] = process.argv.slice(2);
const read = JSON.parse(fs.readFileSync(plan));
if (role === 'server') serve(read, log);
else playAll(read, log, JSON.parse(ports));

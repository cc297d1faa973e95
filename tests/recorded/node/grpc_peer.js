'use strict';
// A gRPC server or client that plays calls as told and logs each as a line of JSON; recorded/grpc_peer.py is the same.
//   node grpc_peer.js server LOG              prints its port, ends with its standard input
//   node grpc_peer.js client PORT PLAN LOG    plays PLAN (grpc_plan.py says what stands in it)
const crypto = require('crypto');
const fs = require('fs');
const grpc = require('@grpc/grpc-js');

const identity = (bytes) => bytes;
const KINDS = { Unary: [false, false], Client: [true, false], Server: [false, true], Bidi: [true, true] };
const SERVICES = ['shop.Cart', 'shop.Catalogue', 'shop.v1.Payments'];

function varint(number) {
  const bytes = [];
  for (; number > 127; number >>>= 7) bytes.push((number & 127) | 128);
  return Buffer.from([...bytes, number]);
}

function field(number, content) {
  return Buffer.concat([Buffer.from([number * 8 + 2]), varint(content.length), content]);
}

// What the server is to do in field 1 of a first message; `size` bytes that compress well in field 2.
function message(size, plan) {
  const parts = plan === undefined ? [] : [field(1, Buffer.from(JSON.stringify(plan)))];
  if (size) parts.push(field(2, Buffer.alloc(size, 'all work and no play ')));
  return Buffer.concat(parts);
}

function planOf(bytes) {
  if (!bytes || bytes[0] !== 10) return {};
  let [size, shift, at] = [0, 0, 1];
  for (; bytes[at] > 127; at++, shift += 7) size |= (bytes[at] & 127) << shift;
  size |= bytes[at++] << shift;
  return JSON.parse(bytes.subarray(at, at + size).toString());
}

class Account {
  constructor(log, call, path) {
    Object.assign(this, { log, call, path, sent: [], received: [], done: false });
    this.hashes = { sent: crypto.createHash('sha256'), received: crypto.createHash('sha256') };
  }

  note(way, bytes) {
    this[way].push(bytes.length);
    this.hashes[way].update(bytes);
    return bytes;
  }

  end(status, text) {
    if (this.done) return;
    this.done = true;
    const { call, path, sent, received, hashes } = this;
    const digests = { sent_sha256: hashes.sent.digest('hex'), received_sha256: hashes.received.digest('hex') };
    const line = { call, path, sent, received, ...digests, status, message: text };
    fs.appendFileSync(this.log, JSON.stringify(line) + '\n');
  }
}

// Plays what the first message asks for: {replies: [sizes], status, message, hang: messages after which it only waits}.
function handler(log, path, [many, stream]) {
  return (call, callback) => {
    const account = new Account(log, String(call.metadata.get('x-call')[0] || ''), path);
    let plan = null;
    const reply = () => account.note('sent', message(plan.replies[account.sent.length]));
    const replyAll = () => { while (account.sent.length < plan.replies.length) call.write(reply()); };
    const take = (bytes) => {
      account.note('received', bytes);
      plan = plan || { replies: [], ...planOf(bytes) };
      if (plan.hang === account.received.length) call.sendMetadata(new grpc.Metadata());
    };
    const end = () => {
      plan = plan || { replies: [] };
      if (stream) replyAll();
      if (plan.hang) return;
      const [code, details] = [plan.status || 0, plan.message || ''];
      if (code && stream) call.emit('error', { code, details });
      else if (code) callback({ code, details });
      else if (stream) call.end();
      else callback(null, reply());
      account.end(code, details);
    };
    call.on('cancelled', () => account.end(null, ''));
    if (!many) {
      take(call.request);
      end();
      return;
    }
    call.on('data', (bytes) => {
      take(bytes);
      if (stream && account.sent.length < plan.replies.length) call.write(reply());
    });
    call.on('end', end);
    call.on('error', () => account.end(null, ''));
  };
}

function serve(log) {
  const server = new grpc.Server();
  for (const service of SERVICES) {
    const definition = {};
    const implementation = {};
    for (const [kind, [requestStream, responseStream]] of Object.entries(KINDS)) {
      for (const method of [kind, `${kind}Again`]) {
        const path = `/${service}/${method}`;
        definition[method] = {
          path, requestStream, responseStream, requestSerialize: identity, requestDeserialize: identity,
          responseSerialize: identity, responseDeserialize: identity,
        };
        implementation[method] = handler(log, path, KINDS[kind]);
      }
    }
    server.addService(definition, implementation);
  }
  server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    console.log(port);
    process.stdin.on('end', () => server.forceShutdown()).resume();
  });
}

const COMPRESSION = { '': 0, deflate: 1, gzip: 2 };

function channel(port, compress) {
  return new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1, 'grpc.default_compression_algorithm': COMPRESSION[compress],
  });
}

function metadataOf(call) {
  const metadata = new grpc.Metadata();
  for (const [name, value] of call.metadata) metadata.add(name, value);
  return metadata;
}

function play(client, call, log) {
  return new Promise((resolve) => {
    const account = new Account(log, call.call, call.path);
    const [many, stream] = KINDS[call.kind];
    const { replies, hang } = call.plan;
    const sends = call.sends.map((size, n) => message(size, n ? undefined : call.plan));
    const send = () => account.note('sent', sends.shift());
    const one = (error, bytes) => { if (bytes) account.note('received', bytes); };
    const arguments_ = [call.path, identity, identity, ...(many ? [] : [send()]), metadataOf(call),
      call.deadline ? { deadline: Date.now() + call.deadline * 1000 } : {}, ...(stream ? [] : [one])];
    const make = { Unary: 'makeUnaryRequest', Client: 'makeClientStreamRequest', Server: 'makeServerStreamRequest',
      Bidi: 'makeBidiStreamRequest' }[call.kind];
    const running = client[make](...arguments_);
    // Bidi: one message, its answer, the next message.
    const pace = () => {
      while (sends.length) {
        running.write(send());
        if (stream && account.sent.length <= replies.length) return;
      }
      if (!hang && !running.writableEnded) running.end();
    };
    const cancel = () => { if (call.cancel && account.received.length === replies.length) running.cancel(); };
    running.on('status', (status) => { account.end(status.code, status.details); resolve(); });
    running.on('error', () => {}).on('metadata', cancel);
    if (stream) {
      running.on('data', (bytes) => {
        account.note('received', bytes);
        if (many) pace();
        cancel();
      });
    }
    if (many) pace();
  });
}

async function playAll(port, plan, log) {
  for (const { calls, abreast } of JSON.parse(fs.readFileSync(plan))) {
    const clients = {};
    for (let at = 0; at < calls.length; at += abreast) {
      await Promise.all(calls.slice(at, at + abreast).map((call) => {
        clients[call.compress] = clients[call.compress] || channel(port, call.compress);
        return play(clients[call.compress], call, log);
      }));
    }
    Object.values(clients).forEach((client) => client.close());
  }
}

const [role, ...rest] = process.argv.slice(2);
if (role === 'server') serve(rest[0]);
else playAll(...rest);

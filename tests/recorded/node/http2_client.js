'use strict';
// An HTTP/2 client with prior knowledge, as Node.js has one: node http2_client.js CONNECTIONS
// plays a list of connections, {port, requests: [{headers, body}]}, one request after the other.
const fs = require('fs');
const http2 = require('http2');

function ask(session, { headers, body }) {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers);
    stream.on('error', reject).on('end', resolve).resume();
    stream.end(body || undefined);
  });
}

async function playAll(file) {
  for (const { port, requests } of JSON.parse(fs.readFileSync(file))) {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    for (const request of requests) await ask(session, request);
    await new Promise((resolve) => session.close(resolve));
  }
}

playAll(process.argv[2]);

// WebSockets to the hub's /api/entries.

export function toEntries(): WebSocket {
  const url = new URL("/api/entries", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  return new WebSocket(url);
}

/** Close it, and hear nothing more of it. A browser takes it for a failure while the connection is made. */
export function leave(socket: WebSocket): void {
  socket.onclose = socket.onmessage = null;
  if (socket.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
  else socket.close();
}

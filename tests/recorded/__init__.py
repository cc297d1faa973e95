"""Our own traffic: servers and clients that log what they did, and a recording of it."""

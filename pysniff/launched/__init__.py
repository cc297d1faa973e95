"""A command that is started to be watched: its secrets, its sockets, and the packets that are its own."""

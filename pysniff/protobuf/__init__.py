"""Protocol Buffers read off the wire: without a schema by number and wire type, with a descriptor set by name."""

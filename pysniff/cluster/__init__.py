"""Workers on every node, and the hub that asks them."""

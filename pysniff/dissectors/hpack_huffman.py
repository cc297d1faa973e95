"""Huffman coded strings of header blocks (RFC 7541 §5.2): read byte by byte, through states.

The code of Appendix B is canonical: how long each symbol's code is says all of it.
"""

from __future__ import annotations

from functools import cache

# Symbols by the length of their codes in bits; 256 is the end of the string, which is never sent.
_SYMBOLS = {
    5: (48, 49, 50, 97, 99, 101, 105, 111, 115, 116),
    6: (
        32, 37, 45, 46, 47, 51, 52, 53, 54, 55, 56, 57, 61, 65, 95, 98, 100, 102, 103, 104, 108, 109, 110, 112, 114,
        117,
    ),
    7: (
        58, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 89, 106, 107,
        113, 118, 119, 120, 121, 122,
    ),
    8: (38, 42, 44, 59, 88, 90),
    10: (33, 34, 40, 41, 63),
    11: (39, 43, 124),
    12: (35, 62),
    13: (0, 36, 64, 91, 93, 126),
    14: (94, 125),
    15: (60, 96, 123),
    19: (92, 195, 208),
    20: (128, 130, 131, 162, 184, 194, 224, 226),
    21: (153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230),
    22: (
        129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190,
        196, 198, 228, 232, 233,
    ),
    23: (
        1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166, 168, 174, 175, 180,
        182, 183, 188, 191, 197, 231, 239,
    ),
    24: (9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237),
    25: (199, 207, 234, 235),
    26: (192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255),
    27: (203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253, 254),
    28: (
        2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 127, 220,
        249,
    ),
    30: (10, 13, 22, 256),
}  # fmt: skip
_END = 256


class State(dict[int, tuple[bytes, "State"]]):
    """Somewhere within a code: for each byte that may follow, the symbols that end in it, and the state behind it.

    Filled as bytes are met: most of the 65,536 transitions never are.
    """

    __slots__ = ("node", "final")

    def __init__(self, node: _Node, final: bool) -> None:
        self.node = node
        self.final = final  # what was read since the last symbol is fewer than 8 bits, all ones: padding

    def __missing__(self, byte: int) -> tuple[bytes, State]:
        node: _Node | None = self.node
        symbols = bytearray()
        for bit in range(7, -1, -1):
            if node is not None:
                node = node.branches[byte >> bit & 1]
            if node is not None and node.symbol >= 0:
                if node.symbol == _END:
                    node = None
                else:
                    symbols.append(node.symbol)
                    node = _tree()
        after = _WRONG if node is None else node.state
        self[byte] = bytes(symbols), after
        return self[byte]


class _Node:
    """A place in the tree of codes; `symbol` is -1 where none ends."""

    __slots__ = ("branches", "symbol", "state")

    def __init__(self, final: bool) -> None:
        self.branches: list[_Node | None] = [None, None]
        self.symbol = -1
        self.state = State(self, final)


_WRONG = State(_Node(False), False)  # nothing leads away from here


@cache
def _tree() -> _Node:
    root = _Node(True)
    code = length = 0
    for bits, symbols in _SYMBOLS.items():
        code <<= bits - length
        length = bits
        for symbol in symbols:
            _plant(root, code, bits).symbol = symbol
            code += 1
    return root


def _plant(root: _Node, code: int, bits: int) -> _Node:
    node = root
    for shift in range(bits - 1, -1, -1):
        bit = code >> shift & 1
        depth = bits - shift
        child = node.branches[bit]
        if child is None:
            child = node.branches[bit] = _Node(depth < 8 and code >> shift == (1 << depth) - 1)
        node = child
    return node


def decode(coded: bytes) -> bytes:
    """The string; raise ValueError where it is none."""
    state = _tree().state
    symbols = []
    for byte in coded:
        found, state = state[byte]
        symbols.append(found)
    if not state.final:
        raise ValueError("invalid Huffman code")
    return b"".join(symbols)

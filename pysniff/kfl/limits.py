"""What a filter may cost: bounds on its text when it is compiled, and the steps it may take for one entry.

Filters come from users, and with the dashboard from anybody who may see it. Each bound is enforced where it is passed.
"""

from __future__ import annotations

from pysniff.kfl.values import EvaluationError

TEXT = 8192  # characters
DEPTH = 48  # brackets, macros, ternaries and signs in each other
HEIGHT = 120  # levels of the tree: long chains as in a + b + c count too; recursion is bounded by it
NODES = 2_000  # of the tree
MACROS = 8  # in each other; Python 3.11 nests 20 blocks
PATTERN = 1_000  # characters of a regular expression
PATTERN_MEMORY = 1 << 20  # bytes that RE2 may use for one; 256 KiB is enough for most

STEPS = 20_000  # for one entry: mostly 20 ms, a second at worst
NODES_PER_STEP = 8  # of a macro's body, in each round
SCANNED = 4_096  # characters or bytes looked through in one step
JOINED = 1_024  # characters or bytes made in one step: what a filter makes stays below STEPS * JOINED
PATTERN_STEPS = 200  # to compile a pattern that is not known before


class TooExpensive(EvaluationError):
    """The steps are used up; unlike other errors, nothing makes up for it."""


class Steps:
    """What is left of one evaluation's steps."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = STEPS

    def spend(self, steps: int) -> None:
        """Raise TooExpensive when there are not as many left."""
        self.left -= steps
        if self.left < 0:
            raise TooExpensive(f"takes more than {STEPS} steps")

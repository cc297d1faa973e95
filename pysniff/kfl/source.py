"""The text of a filter, and errors that point into it."""

from __future__ import annotations

from pysniff.errors import FilterError

# Of an excerpt: a filter may be one line of thousands of characters.
_WIDTH = 100


class Source:
    """A filter's text."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def error(self, message: str, at: int, hint: str = "") -> FilterError:
        """The error to raise for what stands at an offset."""
        before = self.text[:at]
        line = before.count("\n") + 1
        begin = before.rfind("\n") + 1
        column = at - begin + 1
        return FilterError(
            f"filter, line {line}, column {column}: {message}",
            hint=hint,
            line=line,
            column=column,
            excerpt=_excerpt(self.text[begin:].partition("\n")[0], column - 1),
        )


def _excerpt(line: str, at: int) -> str:
    """The line around an offset, and a caret below it."""
    begin = max(0, at - _WIDTH // 2)
    shown = line[begin : begin + _WIDTH].rstrip()
    # A tab or an escape sequence would move the caret, or the reader's terminal.
    plain = "".join(char if char.isprintable() else " " for char in shown)
    lead, trail = "..." if begin else "", "..." if begin + _WIDTH < len(line) else ""
    return f"{lead}{plain}{trail}\n{' ' * (len(lead) + at - begin)}^"

"""What completion is told of functions is what the checker knows of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pysniff.kfl.functions import FUNCTIONS
from pysniff.kfl.tree import MACROS
from pysniff.kfl.variables import compile
from pysniff.kfl.words import FUNCTION, MACRO, MEANINGS, METHOD, Word, words

PAGE = (Path(__file__).parent.parent / "docs" / "filter.md").read_text()
# A value of each type; `_` is any.
VALUES = {
    "bool": "true", "int": "1", "uint": "1u", "double": "1.5", "string": "'1s'", "bytes": "b'a'", "_": "1",
    "timestamp": "now()", "duration": "duration('1s')", "list(_)": "[1]", "map(_, _)": "{1: 1}", "dyn": "{'a': 1}.a",
}  # fmt: skip


def test_every_function_operator_and_macro_has_its_words() -> None:
    told = {word.name for word in words()}
    assert told == {*FUNCTIONS, *MACROS, "has", "&&", "||", "!"} == set(MEANINGS)


@pytest.mark.parametrize("word", words(), ids=lambda word: word.signature)
def test_what_is_told_compiles(word: Word) -> None:
    of, takes = VALUES.get(word.of, ""), [VALUES[kind] for kind in word.takes]
    match word.kind, word.name:
        case "macro", "map" | "filter":
            text = f"{of}.{word.name}(x, true).size() >= 0"
        case "macro", _:
            text = f"{of}.{word.name}(x, true)"
        case "method", _:
            text = f"dyn({of}.{word.name}({', '.join(takes)})) == 1"
        case "function", _:
            text = f"dyn({word.name}({', '.join(takes)})) == 1"
        case _, "[]":
            text = f"dyn({of}[{takes[0]}]) == 1"
        case _:
            text = f"dyn({of} {word.name.rstrip('_')} {takes[0]}) == 1"
    compile(text)


@pytest.mark.parametrize("word", [word for word in words() if word.kind in (METHOD, FUNCTION, MACRO)])
def test_the_page_of_the_language_has_every_name(word: Word) -> None:
    assert word.name in PAGE

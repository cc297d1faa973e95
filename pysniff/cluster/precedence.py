"""Which of two configurations wins: the greater version, and of equal versions the greater text.

Hubs and workers decide alike, so that two hubs that write one version at the same time end with one winner everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson


def precedence(document: Mapping[str, object]) -> tuple[int, bytes]:
    """What a document is compared by: its `version`, and the rest as JSON with sorted keys; raise TypeError.

    `document`: as Document.to_dict() gives it, so that one meaning has one text.
    """
    number = document.get("version", 0)
    if not isinstance(number, int):
        raise TypeError("version")
    rest = {name: value for name, value in document.items() if name != "version"}
    return number, orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)

"""What the pages of docs/ show, for tests that hold them to it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent / "docs"


def shown_json(page: str) -> Any:
    """The only block of JSON on a page."""
    (block,) = re.findall(r"^```json\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    return json.loads(block)

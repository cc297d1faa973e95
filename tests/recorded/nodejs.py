"""Where the programs for Node.js are, and whether the packages that they need are installed."""

from __future__ import annotations

from pathlib import Path

import pytest

NODE = Path(__file__).parent / "node"
needs_packages = pytest.mark.skipif(
    not (NODE / "node_modules").exists(), reason="`npm ci` was not run in tests/recorded/node"
)

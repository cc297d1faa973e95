"""`python tests/entries_of.py CAPTURE...`: a digest of entries and account of each, by the pysniff that is found.

The first line says where that is.
"""

from __future__ import annotations

import hashlib
import json
import sys

import pysniff
from pysniff import packet
from pysniff.errors import PysniffError


def told(path: str) -> str:
    digest = hashlib.sha256()
    seen = 0
    try:
        with pysniff.read(path) as entries:
            try:
                for entry in entries:
                    seen += 1
                    digest.update(json.dumps(entry.to_dict()).encode() + repr(entry).encode())
            finally:
                digest.update("\n".join([*entries.ledger.lines(), *entries.ledger.imbalances()]).encode())
    except PysniffError as error:
        digest.update(str(error).encode())
    return f"{path} {seen} {digest.hexdigest()}"


print(packet.__file__)
for path in sys.argv[1:]:
    print(told(path))

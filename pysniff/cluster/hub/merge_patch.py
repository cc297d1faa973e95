"""JSON Merge Patch, RFC 7396 §2."""

from __future__ import annotations


def merge_patch(target: object, patch: object) -> object:
    """`target` with `patch` applied; null removes a member. Neither is changed.

    The depth is that of the patch, which the JSON parser bounds.
    """
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged

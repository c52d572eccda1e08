"""Merkle trees as RFC 6962 builds them: one root stands for many texts, and a short path proves one of them."""

import hashlib
from collections.abc import Sequence


def leaf(text: str) -> bytes:
    """The hash of one text."""
    return hashlib.sha256(b"\x00" + text.encode()).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over hashes of texts; of none, the hash of nothing."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = list(leaves)
    while len(level) > 1:
        level = _above(level)
    return level[0]


def path(leaves: Sequence[bytes], index: int) -> list[tuple[str, bytes]]:
    """What to combine a leaf with, from the bottom: ``("left" or "right", hash)``. ``index`` counts from 0."""
    found: list[tuple[str, bytes]] = []
    level = list(leaves)
    while len(level) > 1:
        other = index ^ 1
        if other < len(level):
            found.append(("left" if other < index else "right", level[other]))
        level, index = _above(level), index // 2
    return found


def follow(start: bytes, steps: Sequence[tuple[str, bytes]]) -> bytes:
    """The root that a leaf and its path lead to."""
    node = start
    for side, other in steps:
        node = _node(other, node) if side == "left" else _node(node, other)
    return node


def _above(level: list[bytes]) -> list[bytes]:
    pairs = [_node(level[place], level[place + 1]) for place in range(0, len(level) - 1, 2)]
    return pairs + level[-1:] if len(level) % 2 else pairs


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()

"""Cells of a file that people open in a spreadsheet."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from billing_ops.kit.money import plain

_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def harmless(cell: Any) -> str:
    """A value as text. What a spreadsheet would take for a formula gets an apostrophe in front, and so stays text."""
    if cell is None:
        return ""
    if isinstance(cell, Decimal):
        return plain(cell)
    if isinstance(cell, datetime):
        return cell.isoformat()
    text = str(cell)
    return f"'{text}" if text.startswith(_BEGINS_FORMULA) else text

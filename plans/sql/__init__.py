"""Set-based statements, one a file; each says in its header what it does, who calls it and its parameters."""

from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent


@cache
def statement(name: str) -> str:
    """The text of ``<name>.sql``."""
    return (_HERE / f"{name}.sql").read_text(encoding="utf-8")

"""The statements of ``ledger/sql``, one a file."""

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "sql"


@cache
def statement(name: str) -> str:
    """The text of ``ledger/sql/<name>.sql``."""
    return (_FOLDER / f"{name}.sql").read_text()

"""The statements of ``ledger/sql``, one a file, and the snapshot in which a report reads several of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from django.db import connection, transaction

_FOLDER = Path(__file__).parent / "sql"


@cache
def statement(name: str) -> str:
    """The text of ``ledger/sql/<name>.sql``."""
    return (_FOLDER / f"{name}.sql").read_text()


@contextmanager
def snapshot() -> Iterator[None]:
    """One state of the books for all that is read inside, and nothing written: REPEATABLE READ READ ONLY.

    Inside a caller's transaction it is that transaction, as it is: each statement is exact on its own there.
    """
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield

"""The triggers stand whoever writes: the owner of the tables is refused by them, not by privileges."""

import psycopg
import pytest

from tests.ledger.books import accrue, give, spend
from tests.support.database import Database

TABLES = ("entry", "line", "credit_grant", "credit_draw", "credit_draw_allocation")


@pytest.fixture(scope="module")
def statements() -> list[tuple[str, str]]:
    changes = [(f"DELETE FROM ledger_{table}", f"ledger_{table}_append_only") for table in TABLES]
    changes += [(f"TRUNCATE ledger_{table} CASCADE", "append_only") for table in TABLES]
    changes += [("UPDATE ledger_entry SET ticket = 'x'", "ledger_entry_append_only")]
    changes += [(f"UPDATE ledger_{table} SET amount = 1", f"ledger_{table}_append_only") for table in TABLES[1:3]]
    changes += [
        ("UPDATE ledger_balance SET credits = credits + 1, version = version + 1", "ledger_balance_only_by_lines"),
        ("DELETE FROM ledger_balance", "ledger_balance_append_only"),
        ("DELETE FROM ledger_account", "ledger_account_append_only"),
        ("UPDATE ledger_account SET customer_key = 'x' WHERE customer_key <> ''", "ledger_account_append_only"),
        ("DELETE FROM ledger_period", "ledger_period_append_only"),
    ]
    return changes


def test_the_owner_cannot_change_facts(fresh_db: Database, statements: list[tuple[str, str]]) -> None:
    accrue("a", "1")
    give("g", "5")
    spend("inv", "3")
    with fresh_db.connect(role="owner") as owner:
        for statement, rule in statements:
            with pytest.raises(psycopg.errors.IntegrityError) as caught:
                owner.execute(statement)
            assert rule in str(caught.value.diag.constraint_name), statement

"""The triggers stand whoever writes: the owner of the tables is refused by them, not by privileges."""

from decimal import Decimal

import psycopg
import pytest

from ledger import balances, posting
from ledger.models import Balance, Entry
from tests.ledger.books import AT, ROBOT, account, accrue, give, raw_entry, raw_lines, refused, spend
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
        ("UPDATE ledger_unit SET posting_scale = 12", "ledger_unit_append_only"),
        ("UPDATE ledger_book SET timezone = 'Pacific/Kiritimati'", "ledger_book_fixed"),
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


def test_what_is_held_cannot_be_spent(fresh_db: Database) -> None:
    """Holds come later; the column, its CHECK, the door and the burn-down count it from the first day."""
    grant = give("g", "5")
    with fresh_db.connect(role="admin") as admin:
        admin.execute("ALTER TABLE ledger_balance DISABLE TRIGGER ledger_balance_only_by_lines")
        admin.execute("UPDATE ledger_balance SET held = 3 WHERE account_id = %s", [grant.account_id])
        with pytest.raises(psycopg.errors.CheckViolation):
            admin.execute("UPDATE ledger_balance SET held = 5.01 WHERE account_id = %s", [grant.account_id])
        admin.execute("ALTER TABLE ledger_balance ENABLE TRIGGER ledger_balance_only_by_lines")
    assert balances.of(customer_key="cus-1", unit="USD").held == 3
    assert [row.amount for row in spend("inv", "4")] == [Decimal(2)]
    issue = Entry.objects.get(event_type="credit.granted")
    with pytest.raises(posting.Overdraft):
        posting.reverse(entry=issue, key="undo", at=AT, actor=ROBOT, reason_code="test")
    with refused("ledger_balance_no_overdraft"):
        entry = raw_entry(movement="credit.voided")
        raw_lines(
            (entry, 1, grant.account_id, "USD", 1, "1", 3, "2"),
            (entry, 2, account("9000").pk, "USD", -1, "1", None, None),
        )
    assert Balance.objects.get(account=grant.account_id).net == 3

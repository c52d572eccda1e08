from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing_ops.kit.actor import system
from ledger import posting
from ledger.models import Balance, Entry, Line
from ledger.rules import movements

AT = datetime(2025, 3, 4, 12, tzinfo=UTC)
ROBOT = system("test")


def accrue(key: str, amount: str, *, customer: str = "cus-1", at: datetime = AT) -> Entry:
    return posting.post(
        movement=movements.USAGE_ACCRUED,
        key=key,
        lines=movements.usage_accrued(customer_key=customer, unit="USD", amount=Decimal(amount)),
        at=at,
        actor=ROBOT,
        customer_key=customer,
    )


@pytest.mark.django_db
def test_an_entry_moves_the_stored_balance_and_numbers_its_lines() -> None:
    accrue("a", "12.341273")
    entry = accrue("b", "0.000000000001")
    lines = list(Line.objects.filter(entry=entry).select_related("account").order_by("line_no"))
    assert [(line.account.code_id, line.side, line.account_version, line.balance_after) for line in lines] == [
        ("1110", 1, 2, Decimal("12.341273000001")),
        ("4000", -1, None, None),
    ]
    balance = Balance.objects.get(account=lines[0].account)
    assert (balance.net, balance.version) == (Decimal("12.341273000001"), 2)

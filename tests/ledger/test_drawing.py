"""Draws as credit is used: the outcomes, the keys, the journal."""

from decimal import Decimal
from typing import Any

import pytest

from ledger import drawing, proofs
from ledger.models import Line
from tests.ledger.books import AT, ROBOT, give

pytestmark = pytest.mark.django_db
D = Decimal


def draw(key: str, amount: str, **terms: Any) -> drawing.Drawn:
    return drawing.draw(
        customer_key=terms.pop("customer_key", "cus-1"),
        unit=terms.pop("unit", "USD"),
        amount=D(amount),
        feature=terms.pop("feature", ""),
        key=key,
        at=terms.pop("at", AT),
        actor=ROBOT,
        **terms,
    )


def test_a_draw_takes_in_the_burn_order_and_is_posted() -> None:
    given, paid = give("p", "20"), give("g", "100", kind="paid")
    made = draw("k", "30", usage_ref="evt-1")
    assert made.outcome == "accepted"
    assert made.allocations == [(str(given.public_id), D(20)), (str(paid.public_id), D(10))]
    lines = Line.objects.filter(entry=made.entry_id).select_related("account").order_by("line_no")
    assert [("Dr" if x.side > 0 else "Cr", x.account.code_id, x.amount) for x in lines] == [
        ("Dr", "2000", D(10)),
        ("Dr", "4900", D(20)),
        ("Cr", "4000", D(30)),
        ("Dr", "9010", D(20)),
        ("Cr", "9000", D(20)),
    ]
    assert proofs.violations() == []

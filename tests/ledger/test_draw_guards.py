"""Draws by raw SQL, as the application: what foreign keys and row triggers held, statement triggers hold."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from ledger import posting, proofs
from ledger.models import CreditDraw, CreditGrant
from ledger.rules import movements
from ledger.rules.movements import CreditUse
from tests.ledger.books import AT, ROBOT, give, refused, sql
from tests.ledger.test_drawing import draw

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture(autouse=True)
def _anybody_holds_credit(settings: Any) -> None:
    settings.CREDIT_HOLDER_CHECK = ""


@pytest.fixture
def grant() -> CreditGrant:
    return give("p", "20")


def raw(wallet: int, entry: int | None, amount: str = "5", **other: Any) -> int:
    values = {
        "wallet_id": wallet,
        "idempotency_key": other.pop("key", "raw"),
        "ref": "",
        "policy": "all",
        "feature": "",
        "amount": amount,
        "shortfall": "0",
        "outcome": "accepted",
        "used_at": AT,
        "entry_id": entry,
        **other,
    }
    marks = ", ".join(["%s"] * len(values))
    return int(
        sql(f"INSERT INTO ledger_credit_draw ({', '.join(values)}) VALUES ({marks}) RETURNING id", *values.values())[0][
            0
        ]
    )


def allocate(draw_id: int, *parts: tuple[int, str]) -> None:
    marks = ", ".join(["(%s, %s, %s::numeric)"] * len(parts))
    values = [value for grant, amount in parts for value in (draw_id, grant, amount)]
    sql(f"INSERT INTO ledger_credit_draw_allocation (draw_id, grant_id, amount) VALUES {marks}", *values)


def post(entry: int, grant: CreditGrant, amount: str, *, overage: str = "0") -> None:
    lines = movements.credit_drawn(
        customer_key="cus-1",
        unit="USD",
        uses=[CreditUse(grant.kind, str(grant.public_id), D(amount), entry)],
        overage=D(overage),
    )
    posting.post(
        movement=movements.CREDIT_DRAWN,
        key=f"raw {entry}",
        lines=[replace(lines[0], reserved_id=entry), *lines[1:]],
        at=AT,
        actor=ROBOT,
    )


def test_a_right_draw_by_raw_sql_is_accepted(grant: CreditGrant) -> None:
    entry = posting.reserve_entry_id()
    allocate(raw(grant.wallet_id, entry), (grant.pk, "5"))
    post(entry, grant, "5")
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    assert proofs.violations() == []


def test_a_draw_of_no_wallet(grant: CreditGrant) -> None:
    with refused("ledger_draw_wallet"):
        raw(10**9, posting.reserve_entry_id())


@pytest.mark.parametrize("when", [AT, AT + timedelta(days=90_000)])
def test_a_draw_that_says_when_it_was_recorded(grant: CreditGrant, when: Any) -> None:
    with refused("ledger_draw_recorded_now"):
        raw(grant.wallet_id, posting.reserve_entry_id(), recorded_at=when)


@pytest.mark.parametrize("amounts", [["4"], ["6"], ["2", "2"]])
def test_allocations_that_do_not_add_up(grant: CreditGrant, amounts: list[str]) -> None:
    grants = [grant.pk, give("q", "20").pk]
    with refused("ledger_allocation_whole"):
        made = raw(grant.wallet_id, posting.reserve_entry_id())
        allocate(made, *zip(grants, amounts, strict=False))


def test_allocations_twice(grant: CreditGrant) -> None:
    """Each statement is whole by itself; together they are more than the draw took."""
    other = give("q", "20")
    entry = posting.reserve_entry_id()
    with refused("ledger_allocation_whole"):
        made = raw(grant.wallet_id, entry)
        allocate(made, (grant.pk, "5"))
        allocate(made, (other.pk, "5"))


def test_a_draw_without_its_allocations(grant: CreditGrant) -> None:
    entry = posting.reserve_entry_id()
    with pytest.raises(posting.InvalidEntry) as caught, transaction.atomic():  # noqa: PT012
        allocate(raw(grant.wallet_id, entry), (grant.pk, "5"))
        raw(grant.wallet_id, entry, key="other")
        post(entry, grant, "5")
    assert caught.value.details["rule"] == "ledger_line_drawn"


@pytest.mark.parametrize(("drawn", "posted"), [("2", "3"), ("2", "1"), (None, "2"), ("2", "0")])
def test_overage_that_the_entry_does_not_say(grant: CreditGrant, drawn: str | None, posted: str) -> None:
    entry = posting.reserve_entry_id()
    terms: dict[str, Any] = {}
    if drawn:
        terms = {"amount": "7", "shortfall": "2", "outcome": "overage", "overage": drawn, "overage_currency": "USD"}
    with pytest.raises(posting.InvalidEntry) as caught, transaction.atomic():  # noqa: PT012
        allocate(raw(grant.wallet_id, entry, **terms, policy="overage"), (grant.pk, "5"))
        post(entry, grant, "5", overage=posted)
    assert caught.value.details["rule"] == "ledger_line_drawn"


@pytest.mark.parametrize(
    ("rule", "terms"),
    [
        ("ledger_draw_outcomes", {"outcome": "accepted", "shortfall": "1"}),
        ("ledger_draw_outcomes", {"outcome": "overage", "shortfall": "1"}),
        ("ledger_draw_outcomes", {"outcome": "refused", "shortfall": "5"}),
        ("ledger_draw_outcomes", {"outcome": "perhaps"}),
        ("ledger_draw_overage", {"overage": "1", "overage_currency": "USD"}),
        ("ledger_draw_policy", {"policy": "some"}),
        ("ledger_draw_policy", {"policy": "all", "ref": "line"}),
        ("ledger_draw_amount", {"amount": "0", "outcome": "refused", "entry_id": None}),
    ],
)
def test_a_draw_that_contradicts_itself(grant: CreditGrant, rule: str, terms: dict[str, Any]) -> None:
    entry = terms.pop("entry_id", posting.reserve_entry_id())
    with refused(rule):
        raw(grant.wallet_id, entry, **terms)


def test_one_draw_a_wallet_and_key(grant: CreditGrant) -> None:
    draw("k", "5")
    with refused("ledger_draw_one_per_key"):
        raw(grant.wallet_id, posting.reserve_entry_id(), key="k")
    assert CreditDraw.objects.count() == 1


def test_a_grant_is_not_credited_again_but_by_a_return(grant: CreditGrant) -> None:
    with pytest.raises((posting.InvalidEntry, IntegrityError)), transaction.atomic():
        posting.post(
            movement=movements.CREDIT_GRANTED,
            key="again",
            lines=movements.credit_granted(
                kind="promotional", customer_key="cus-1", unit="USD", amount=D(5), grant=str(grant.public_id)
            ),
            at=AT,
            actor=ROBOT,
        )

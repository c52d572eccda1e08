"""Short ways to post and to tamper, for the ledger's tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from moneyed import Money

from billing_ops.kit.actor import Actor, system
from ledger import crediting, posting
from ledger.models import Account, Book, CreditGrant, Entry, Period
from ledger.rules import movements
from ledger.rules.limits import Authority

AT = datetime(2025, 3, 4, 12, tzinfo=UTC)
ROBOT = system("test")
AGENT = Actor("user", "ana", "Ana")
SUPPORT = Authority(roles=("Support",))
"""What she may give alone: 100 USD a credit, 500 in a day, 250 to a customer in 30 days."""


def accrue(key: str, amount: str, *, customer: str = "cus-1", at: datetime = AT, unit: str = "USD") -> Entry:
    return posting.post(
        movement=movements.USAGE_ACCRUED,
        key=key,
        lines=movements.usage_accrued(customer_key=customer, unit=unit, amount=Decimal(amount)),
        at=at,
        actor=ROBOT,
        customer_key=customer,
    )


def give(key: str, amount: str, *, kind: Any = "promotional", customer: str = "cus-1", **terms: Any) -> CreditGrant:
    at = terms.pop("at", AT)
    act = crediting.carry_over if kind == "paid" else crediting.grant
    return act(
        customer_key=customer,
        kind=kind,
        amount=Money(amount, "USD"),
        reason_code="test",
        actor=ROBOT,
        at=at,
        key=key,
        **terms,
    )


def spend(key: str, amount: str, *, customer: str = "cus-1", feature: str = "", at: datetime = AT) -> list[Any]:
    """Accrue that much usage and invoice it: credits first, the rest receivable. Returns what was applied."""
    whole = Decimal(amount)
    with transaction.atomic():
        accrue(f"{key}:usage", amount, customer=customer, at=at)
        applied = crediting.apply(
            customer_key=customer, currency="USD", needs=[crediting.Need("line", feature, whole)], at=at, key=key
        )
        paid = sum((row.amount for row in applied), Decimal(0))
        posting.post(
            movement=movements.INVOICE_FINALIZED,
            key=key,
            lines=movements.invoice_finalized(
                customer_key=customer,
                currency="USD",
                receivable=whole - paid,
                accrued_cleared=whole,
                credits=crediting.uses_of(applied),
            ),
            at=at,
            actor=ROBOT,
            customer_key=customer,
            refs={"invoice": key},
        )
    return applied


@contextmanager
def refused(rule: str) -> Iterator[None]:
    """The block is refused by the database in the name of that rule, deferred rules included; nothing of it stays."""
    with pytest.raises(IntegrityError) as caught, transaction.atomic():  # noqa: PT012  # the block is the caller's
        yield
        sql("SET CONSTRAINTS ALL IMMEDIATE")
    found = posting.violated_rule(caught.value)
    assert found == rule or (rule.endswith("_id") and found.startswith(f"{rule}_")), caught.value  # foreign key: a hash


def sql(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def account(code: str, *, customer: str = "", dimension: str = "", unit: str = "USD") -> Account:
    """The account, made as any writer could make it."""
    book = Book.objects.get(key="main")
    sql(
        "INSERT INTO ledger_account (public_id, book_id, code, customer_key, dimension, unit)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        uuid4(),
        book.pk,
        code,
        customer,
        dimension,
        unit,
    )
    return Account.objects.get(code=code, customer_key=customer, dimension=dimension, unit=unit)


def period() -> Period:
    """The open period of :data:`AT`."""
    book = Book.objects.get(key="main")
    with transaction.atomic():
        posting.enter_period(effective_at=AT)
    return Period.objects.get(book=book, starts_on__lte=AT.date(), ends_before__gt=AT.date())


def raw_entry(*, lines: int = 2, movement: str = movements.USAGE_ACCRUED, **other: Any) -> int:
    """An entry by raw SQL, right unless told otherwise; returns its id."""
    values = {
        "public_id": uuid4(),
        "book_id": Book.objects.get(key="main").pk,
        "source": "raw",
        "idempotency_key": uuid4().hex,
        "event_type": movement,
        "effective_at": AT,
        "effective_on": AT.date(),
        "period_id": other.pop("period_id", None) or period().pk,
        "line_count": lines,
        "customer_key": "",
        "invoice_ref": "",
        "grant_ref": "",
        "stripe_ref": "",
        "batch_ref": "",
        "actor_type": "system",
        "actor_id": "raw",
        "reason_code": "",
        "reason_note": "",
        "ticket": "",
        "metadata": "{}",
        **other,
    }
    names = ", ".join(values)
    marks = ", ".join(["%s"] * len(values))
    return int(sql(f"INSERT INTO ledger_entry ({names}) VALUES ({marks}) RETURNING id", *values.values())[0][0])


Raw = tuple[int, int, int, str, int, str, int | None, str | None]
"""entry, line number, account, unit, side, amount, version, balance after"""


def raw_lines(*lines: Raw, day: Any = None) -> None:
    """Lines by raw SQL, in one statement."""
    values: list[Any] = []
    for line in lines:
        values += [*line, day or AT.date()]
    marks = ", ".join(["(%s, %s, %s, %s, %s, %s::numeric, %s::bigint, %s::numeric, %s::date)"] * len(lines))
    sql(
        "INSERT INTO ledger_line (entry_id, line_no, account_id, unit, side, amount, account_version, balance_after,"
        f" effective_on) VALUES {marks}",
        *values,
    )

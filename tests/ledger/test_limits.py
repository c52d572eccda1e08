"""What somebody may give alone: the rule, the locks, the database, and what a second person's approval does."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, transaction
from hypothesis import given
from hypothesis import strategies as st
from moneyed import Money

from billing_ops.kit import approving
from billing_ops.kit.actor import Actor
from billing_ops.kit.approvals import OWN_DOMAIN, SPLITTING
from billing_ops.models import Approval, AuditEntry
from ledger import approved, crediting, limiting, posting, proofs, scheduling
from ledger.limiting import AboveLimit
from ledger.models import CreditGrant, CreditLimit, CreditSchedule, Entry, LimitUse
from ledger.rules import limits, movements
from ledger.rules.entries import InvalidEntry
from ledger.rules.limits import Above, Allowed, Authority, Given, Limit, belongs_to
from ledger.rules.schedules import ScheduleTerms
from ledger.rules.terms import Terms
from tests.ledger.books import AGENT, AT, ROBOT, SUPPORT, account, raw_entry, raw_lines, refused, sql
from tests.ledger.tamper import unguarded
from tests.ledger.test_at_the_same_time import all_at_once
from tests.support.database import Database

BOB = Actor("user", "bob", "Bob")
ROLE = Limit("Support", "USD", Decimal(100), Decimal(500), Decimal(250))
BIG = Limit("Finance", "USD", Decimal(1000), Decimal(5000), Decimal(5000))
amounts = st.decimals(min_value=0, max_value=700, places=2)


def give(key: str, amount: str, *, customer: str = "cus-1", **more: Any) -> CreditGrant:
    said: dict[str, Any] = {"actor": AGENT, "at": AT, "authority": SUPPORT}
    return crediting.grant(
        customer_key=customer, kind="goodwill", amount=Money(amount, "USD"), reason_code="outage", key=key,
        **said | more,
    )  # fmt: skip


def above(key: str, amount: str, **more: Any) -> dict[str, Any]:
    with pytest.raises(AboveLimit) as caught:
        give(key, amount, **more)
    return caught.value.details


# The rule -----------------------------------------------------------------------------------------------------------


@given(amounts, amounts, amounts, amounts, st.integers(0, 5))
def test_what_is_allowed_keeps_every_limit_and_what_is_not_breaks_one(
    amount: Decimal, by_agent: Decimal, month: Decimal, day: Decimal, number: int
) -> None:
    so_far = Given(by_agent, month, day, number)
    found = limits.check(amount=amount, authority=SUPPORT, limits=[ROLE], given=so_far)
    keeps = (
        amount <= 100
        and by_agent + amount <= 500
        and month + amount <= 250
        and not (number >= 2 and day + amount > 100)
    )
    assert isinstance(found, Allowed) is (keeps or amount == 0)
    if isinstance(found, Above):
        assert found.left < amount
        again = limits.check(amount=found.left, authority=SUPPORT, limits=[ROLE], given=so_far)
        assert isinstance(again, Allowed), "what it says is left can be given"


def test_of_two_roles_the_one_under_which_more_is_left_decides() -> None:
    both = Authority(roles=("Support", "Finance"))
    found = limits.check(amount=Decimal(600), authority=both, limits=[ROLE, BIG], given=Given())
    assert found == Allowed("Finance")
    alone = limits.check(amount=Decimal(600), authority=SUPPORT, limits=[ROLE, BIG], given=Given())
    assert isinstance(alone, Above)
    assert (alone.rule, alone.left) == ("per_credit", Decimal(100))


@pytest.mark.parametrize(
    ("mine", "theirs", "belongs"),
    [
        ("ann@acme.example", "ada@acme.example", True),
        (" Ann@ACME.example ", "ada@acme.example", True),
        ("ann@eu.acme.example", "ada@acme.example", True),
        ("ann@acme.example", "ada@billing.acme.example", True),
        ("ann@notacme.example", "ada@acme.example", False),
        ("ann@gmail.com", "ada@gmail.com", False),
        ("ann@gmail.com", "Ann+billing@gmail.com", True),
        ("ann@acme.example", "", False),
        ("", "", False),
        ("nonsense", "nonsense", False),
    ],
)
def test_who_belongs_to_a_customer(mine: str, theirs: str, belongs: bool) -> None:
    assert belongs_to(mine, [theirs]) is belongs
    assert belongs_to(theirs, [mine]) is belongs


# Giving -------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_credit_within_the_limits_counts_against_them() -> None:
    grant = give("a", "100")
    use = LimitUse.objects.get()
    assert (use.grant_id, use.role, use.agent_id, use.amount, use.given_at) == (
        grant.pk,
        "Support",
        "ana",
        Decimal(100),
        AT,
    )
    assert give("a", "100").pk == grant.pk
    assert LimitUse.objects.count() == 1


@pytest.mark.django_db
def test_each_limit_is_named_with_what_is_left() -> None:
    assert above("a", "100.01") == {
        "limit": "per_credit", "role": "Support", "allowed": "100", "left": "100", "unit": "USD",
    }  # fmt: skip
    for number in range(2):
        give(f"b{number}", "100", at=AT - timedelta(days=number + 2))
    assert (above("c", "50.01")["limit"], above("c", "50.01")["left"]) == ("per_customer_30_days", "50")
    for number in range(4):
        give(f"d{number}", "100", customer=f"other-{number}")
    give("e", "60", customer="other-5")
    assert (above("f", "40.01", customer="x")["limit"], above("f", "40.01", customer="x")["left"]) == (
        "per_agent_day", "40",
    )  # fmt: skip
    give("g", "40", customer="x")
    give("h", "100", customer="y", at=AT + timedelta(hours=24))


@pytest.mark.django_db
def test_the_windows_roll_and_midnight_gives_nothing_anew() -> None:
    late = AT.replace(hour=23, minute=59)
    for number in range(5):
        give(f"a{number}", "100", customer=f"c-{number}", at=late)
    assert above("b", "1", at=late + timedelta(minutes=2))["limit"] == "per_agent_day"
    give("b", "1", at=late + timedelta(hours=24))
    for number in range(2):
        give(f"m{number}", "100", customer="m", at=AT + timedelta(days=2 + 2 * number))
    assert above("n", "60", customer="m", at=AT + timedelta(days=20))["limit"] == "per_customer_30_days"
    give("n", "60", customer="m", at=AT + timedelta(days=32))


@pytest.mark.django_db
def test_a_unit_without_a_limit_and_a_role_without_one_give_nothing_alone() -> None:
    assert above("a", "1", authority=Authority())["limit"] == "no_limit"
    assert above("a", "1", authority=Authority(roles=("Visitor",)))["limit"] == "no_limit"
    with pytest.raises(AboveLimit):
        crediting.grant(
            customer_key="c", kind="goodwill", amount=Money(1, "JPY"), reason_code="x", key="y", actor=AGENT, at=AT,
            authority=SUPPORT,
        )  # fmt: skip
    assert not CreditGrant.objects.exists()


@pytest.mark.django_db
def test_jobs_of_the_house_have_no_limit() -> None:
    give("a", "100000", actor=ROBOT, authority=Authority())
    assert not LimitUse.objects.exists()


@pytest.mark.django_db
def test_three_credits_in_a_day_that_were_one_are_seen_whoever_gives_them() -> None:
    give("a", "40")
    give("b", "40", actor=BOB)
    found = above("c", "21", actor=Actor("user", "cara"))
    assert (found["limit"], found["left"]) == ("splitting", "20")
    give("c", "20", actor=Actor("user", "cara"))
    terms = Terms(customer_key="cus-1", kind="goodwill", amount=Decimal(21), unit="USD", reason_code="x")
    seen = limiting.check(terms=terms, actor=AGENT, authority=SUPPORT, at=AT)
    assert isinstance(seen, Above)
    assert seen.flags == (SPLITTING,)
    give("d", "30", at=AT + timedelta(hours=24))


def _promise(key: str, amount: str, every: Any = "month", *, customer: str = "cus-1") -> CreditSchedule:
    terms = ScheduleTerms(
        customer_key=customer, kind="goodwill", amount=Decimal(amount), unit="USD", every=every, anchor_at=AT,
        reason_code="outage",
    )  # fmt: skip
    return scheduling.schedule(terms=terms, key=key, actor=AGENT, at=AT, authority=SUPPORT)


@pytest.mark.django_db
@pytest.mark.parametrize(("every", "most"), [("day", "8.33"), ("week", "50"), ("month", "100"), ("year", "100")])
def test_a_schedule_promises_no_more_than_its_maker_may_give(every: str, most: str) -> None:
    with pytest.raises(AboveLimit):
        _promise("over", str(Decimal(most) + Decimal("0.01")), every)
    _promise("fine", most, every)


@pytest.mark.django_db
def test_schedules_and_credits_together_keep_the_limits() -> None:
    _promise("a", "100")
    give("b", "100", at=AT + timedelta(days=2))
    assert above("c", "51", at=AT + timedelta(days=4))["limit"] == "per_customer_30_days"
    with pytest.raises(AboveLimit) as caught:
        _promise("d", "51")
    assert caught.value.details["limit"] == "per_customer_30_days"
    for number in range(3):
        _promise(f"e{number}", "100", customer=f"cus-{number + 2}")
    assert above("f", "1", customer="cus-9")["limit"] == "per_agent_day"


@pytest.mark.django_db
def test_nobody_gives_their_own_house_a_cent_alone() -> None:
    found = above("a", "0.01", authority=Authority(roles=("Support",), flags=(OWN_DOMAIN,)))
    assert (found["limit"], found["left"]) == ("own_domain", "0")


# At the same time ---------------------------------------------------------------------------------------------------


def at_once(count: int, act: Any) -> tuple[list[CreditGrant], list[str]]:
    answers = all_at_once(count, act)
    made = [one for one in answers if isinstance(one, CreditGrant)]
    others = [one for one in answers if not isinstance(one, CreditGrant)]
    assert all(isinstance(one, AboveLimit) for one in others), others
    return made, [one.details["limit"] for one in others]


def test_many_at_once_never_exceed_what_an_agent_may_give_in_a_day(fresh_db: Database) -> None:
    made, broken = at_once(16, lambda n: give(f"k{n}", "60", customer=f"cus-{n}"))
    assert len(made) == 8  # 480 of 500
    assert set(broken) == {"per_agent_day"}


def test_many_agents_at_once_never_exceed_what_a_customer_may_get(fresh_db: Database) -> None:
    _wider_than_splitting()
    made, broken = at_once(12, lambda n: give(f"k{n}", "60", actor=Actor("user", f"agent-{n}")))
    assert len(made) == 4  # 240 of 250
    assert set(broken) == {"per_customer_30_days"}


def test_many_agents_at_once_never_split_a_credit_between_them(fresh_db: Database) -> None:
    made, broken = at_once(8, lambda n: give(f"k{n}", "60", actor=Actor("user", f"agent-{n}")))
    assert len(made) == 2
    assert set(broken) == {"splitting"}


def test_one_key_at_once_counts_once_against_each_limit(fresh_db: Database) -> None:
    answers = all_at_once(8, lambda _: give("k", "100").pk)
    assert len(set(answers)) == 1, answers
    assert LimitUse.objects.count() == 1


def test_a_limit_that_is_lowered_at_the_same_moment_is_never_exceeded_by_two(fresh_db: Database) -> None:
    """The trigger reads the newest limit under the locks: what was checked before the change is refused."""

    def act(number: int) -> Any:
        if number == 0:
            return limiting.set_limit(
                role="Support", unit="USD", per_credit=Decimal(10), per_agent_day=Decimal(20),
                per_customer_30_days=Decimal(20), reason="abuse", actor=BOB, at=AT,
            )  # fmt: skip
        return give(f"k{number}", "60", customer=f"cus-{number}")

    answers = all_at_once(6, act)
    assert isinstance(answers[0], CreditLimit)
    assert above("late", "11")["limit"] in ("per_credit", "per_agent_day")


def _wider_than_splitting() -> None:
    limiting.set_limit(
        role="Support", unit="USD", per_credit=Decimal(250), per_agent_day=Decimal(500),
        per_customer_30_days=Decimal(250), reason="test", actor=BOB, at=AT - timedelta(days=1),
    )  # fmt: skip


# By the database, whoever writes ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_credit_that_counts_against_nothing_does_not_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiting, "remember", lambda **_: None)
    with refused("ledger_grant_authorised"):
        give("a", "5")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("amount", "before", "rule"),
    [
        ("101", (), "ledger_limit_per_credit"),
        ("100", ("o1", "o2", "o3", "o4", "o5"), "ledger_limit_per_agent_day"),
        ("60", ("cus-1:-3", "cus-1:-5"), "ledger_limit_per_customer_30_days"),
        ("60", ("cus-1", "cus-1:-3", "cus-1:-0.5"), "ledger_limit_"),
    ],
)
def test_who_goes_round_the_check_meets_the_same_limits(
    monkeypatch: pytest.MonkeyPatch, amount: str, before: tuple[str, ...], rule: str
) -> None:
    for number, where in enumerate(before):
        customer, _, days = where.partition(":")
        size = "50" if rule == "ledger_limit_" else "100"
        give(f"b{number}", size, customer=customer, at=AT + timedelta(days=float(days or 0)))
    monkeypatch.setattr(limiting, "enforce", lambda **_: "Support")
    if rule == "ledger_limit_":
        rule = "ledger_limit_splitting"
    with refused(rule):
        give("x", amount)


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["Visitor", "support"])
def test_a_role_that_has_no_limit_gives_nothing_by_raw_sql(monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    monkeypatch.setattr(limiting, "enforce", lambda **_: role)
    with refused("ledger_limit_missing"):
        give("x", "1")


@pytest.mark.django_db
@pytest.mark.parametrize("lie", ["amount = 1", "agent_id = 'somebody'", "given_at = given_at - interval '2 days'"])
def test_what_counts_is_the_credit_as_it_was_given(monkeypatch: pytest.MonkeyPatch, lie: str) -> None:
    column, _, value = lie.partition(" = ")

    def remember(*, grant: CreditGrant, role: str) -> None:
        said = {
            "grant_id": str(grant.pk), "role": "'Support'", "agent_type": "'user'", "agent_id": "'ana'",
            "customer_key": "'cus-1'", "unit": "'USD'", "amount": "50", "given_at": f"'{AT.isoformat()}'::timestamptz",
        }  # fmt: skip
        said[column] = value.replace("given_at", said["given_at"])
        sql(f"INSERT INTO ledger_limit_use ({', '.join(said)}) VALUES ({', '.join(said.values())})")

    monkeypatch.setattr(limiting, "remember", remember)
    with refused("ledger_limit_use_of_grant"):
        give("x", "50")


@pytest.mark.django_db
@pytest.mark.parametrize("table", ["ledger_credit_limit", "ledger_limit_use"])
@pytest.mark.parametrize("change", ["UPDATE {} SET role = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
def test_limits_and_what_was_given_never_change(table: str, change: str) -> None:
    give("a", "1")
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        sql(change.format(table))


# Setting limits -----------------------------------------------------------------------------------------------------


def wanted(amount: int, role: str = "Support") -> dict[str, Any]:
    return {
        "role": role, "unit": "USD", "per_credit": Decimal(amount), "per_agent_day": Decimal(5000),
        "per_customer_30_days": Decimal(5000), "reason": "new policy",
    }  # fmt: skip


@pytest.mark.django_db
def test_the_newest_limit_counts_from_its_day_and_the_old_one_stays_as_history() -> None:
    later = AT + timedelta(days=1)
    limiting.set_limit(**wanted(300), actor=BOB, at=AT, valid_from=later)
    assert above("a", "101")["limit"] == "per_credit"
    give("a", "300", at=later)
    assert CreditLimit.objects.filter(role="Support", unit="USD").count() == 2
    assert AuditEntry.objects.get(action="limit.set").changes["per_credit"] == ["100", "300"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"per_credit": Decimal(-1)}, "per_credit"),
        ({"per_credit": Decimal("NaN")}, "per_credit"),
        ({"per_agent_day": Decimal(1)}, "per_credit"),
        ({"reason": " "}, "reason"),
        ({"role": ""}, "role"),
        ({"valid_from": AT - timedelta(seconds=1)}, "valid_from"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_by_name(change: dict[str, Any], field: str) -> None:
    with pytest.raises(limiting.BadLimit) as caught:
        limiting.set_limit(**wanted(300) | change, actor=BOB, at=AT)
    assert caught.value.details["field"] == field


@pytest.mark.django_db
def test_nobody_raises_their_own_roles_limit_alone_but_may_lower_it() -> None:
    with pytest.raises(limiting.OwnLimit):
        limiting.set_limit(**wanted(2000, "Finance"), actor=BOB, at=AT, own_roles=["Finance"])
    lower = wanted(500, "Finance") | {"per_agent_day": Decimal(5000)}
    limiting.set_limit(**lower, actor=BOB, at=AT, own_roles=["Finance"])
    limit = Limit("Finance", "USD", Decimal(2000), Decimal(6000), Decimal(6000))
    row = approved.ask_for_limit(wanted=limit, reason="year end", key="k", actor=BOB, at=AT)
    seen = approving.preview(approval=row, at=AT)
    assert (seen.changes[0].before, seen.changes[0].after) == (Decimal(500), Decimal(2000))
    with pytest.raises(approving.OwnRequest):
        approving.approve(approval_id=row.pk, seen=seen.fingerprint(), actor=BOB, at=AT)
    approving.approve(approval_id=row.pk, seen=seen.fingerprint(), actor=AGENT, at=AT)
    made = CreditLimit.objects.latest("pk")
    assert (made.per_credit, made.set_by, made.approval_id) == (Decimal(2000), "bob", row.pk)


# By a second person -------------------------------------------------------------------------------------------------


def ask(key: str = "k", amount: str = "400", at: datetime = AT) -> Approval:
    terms = Terms(
        customer_key="cus-1", kind="goodwill", amount=Decimal(amount), unit="USD", reason_code="outage",
        ticket="SUP-1", note="a week down", expires_at=AT + timedelta(days=30),
    )  # fmt: skip
    found = limiting.check(terms=terms, actor=AGENT, authority=SUPPORT, at=at)
    assert isinstance(found, Above)
    return approved.ask_for_credit(terms=terms, above=found, key=key, actor=AGENT, at=at)


@pytest.fixture
def _any_holder(settings: Any) -> None:
    settings.CREDIT_HOLDER_CHECK = ""


@pytest.mark.django_db
@pytest.mark.usefixtures("_any_holder")
def test_an_approved_credit_is_what_the_approver_saw() -> None:
    row = ask()
    assert row.why == "Support may give at most 100.00 USD in one credit."
    seen = approving.preview(approval=row, at=AT)
    assert not CreditGrant.objects.exists()
    later = AT + timedelta(hours=2)
    approving.approve(approval_id=row.pk, seen=seen.fingerprint(), actor=BOB, at=later)
    grant = CreditGrant.objects.get()
    entry = Entry.objects.get()
    assert (grant.amount, grant.requested_by_id, grant.approval_id, grant.effective_at) == (
        Decimal(400),
        "ana",
        row.pk,
        later,
    )
    assert (entry.approval_id, entry.actor_id, entry.ticket) == (row.pk, "ana", "SUP-1")
    row.refresh_from_db()
    assert row.used_for == f"entry:{entry.public_id}"
    assert [(line.side, line.code, line.amount) for line in seen.lines] == [
        ("debit" if line.side > 0 else "credit", line.account.code_id, line.amount)
        for line in entry.line_set.select_related("account").order_by("line_no")
    ]
    assert not LimitUse.objects.exists()
    give("small", "100")  # an approved credit counts against no limit


@pytest.mark.django_db
@pytest.mark.usefixtures("_any_holder")
def test_when_the_balances_moved_the_approver_looks_again() -> None:
    row = ask()
    seen = approving.preview(approval=row, at=AT).fingerprint()
    give("meanwhile", "5")
    with pytest.raises(approving.Drifted):
        approving.approve(approval_id=row.pk, seen=seen, actor=BOB, at=AT)
    again = approving.preview(approval=row, at=AT).fingerprint()
    approving.approve(approval_id=row.pk, seen=again, actor=BOB, at=AT)
    assert CreditGrant.objects.count() == 2


@pytest.mark.django_db
@pytest.mark.usefixtures("_any_holder")
@pytest.mark.parametrize(
    "change",
    [{"amount": Money("401", "USD")}, {"kind": "promotional"}, {"actor": Actor("user", "zoe")}],
)
def test_an_approval_lets_in_only_what_was_asked_for(change: dict[str, Any]) -> None:
    row = ask()
    with refused("ledger_grant_authorised"):
        _decided(row)
        _grant_by(row, "x", **change)
    assert not CreditGrant.objects.exists()


@pytest.mark.django_db
@pytest.mark.usefixtures("_any_holder")
def test_an_approval_is_for_its_customer_and_for_one_credit() -> None:
    row = ask()
    _decided(row)
    with _entry_refused():
        _grant_by(row, "x", customer_key="cus-2")
    _grant_by(row, "one")
    with _entry_refused():
        _grant_by(row, "two")
    assert CreditGrant.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.usefixtures("_any_holder")
def test_an_approved_entry_does_not_give_the_amount_twice() -> None:
    """Each of the two credits is exactly what was approved."""
    row = ask()
    with refused("ledger_grant_authorised"):
        _decided(row)
        names = [str(uuid4()), str(uuid4())]
        accounts = [account("2010", customer="cus-1", dimension=name).pk for name in names]
        entry = raw_entry(
            lines=3, movement=movements.CREDIT_GRANTED, customer_key="cus-1", approval_id=row.pk, actor_type="user",
            actor_id="ana", reason_code="outage",
        )  # fmt: skip
        raw_lines(
            (entry, 1, account("4910").pk, "USD", 1, "800", None, None),
            (entry, 2, accounts[0], "USD", -1, "400", 1, "400"),
            (entry, 3, accounts[1], "USD", -1, "400", 1, "400"),
        )
        for name, number in zip(names, accounts, strict=True):
            sql(
                "INSERT INTO ledger_credit_grant (public_id, wallet_id, account_id, customer_key, unit, kind, amount,"
                " kind_rank, priority, effective_at, scope, scope_rank, source_invoice, reason_code, reason_note,"
                " currency, money_code, rolls_over, schedule_part, ticket, requested_by_type, requested_by_id,"
                " idempotency_key, request, created_at, approval_id)"
                " VALUES (%s, ledger_lock_wallet('cus-1', 'USD'), %s, 'cus-1', 'USD', 'goodwill', 400, 0, 50, %s, '{}',"
                " 1, '', 'outage', '', '', '', false, '', '', 'user', 'ana', %s, '{}', %s, %s)",
                name, number, AT, name, AT, row.pk,
            )  # fmt: skip
    assert not CreditGrant.objects.exists()


@pytest.mark.django_db
def test_a_limit_of_nan_is_none() -> None:
    with refused("ledger_limit_number"):
        sql(
            "INSERT INTO ledger_credit_limit (role, unit, per_credit, per_agent_day, per_customer_30_days, valid_from,"
            " set_at, set_by, reason) VALUES ('Support', 'USD', 'NaN', 'NaN', 'NaN', %s, %s, 'x', 'x')",
            AT,
            AT,
        )


@pytest.mark.django_db
@pytest.mark.usefixtures("_any_holder")
def test_an_entry_may_not_name_an_approval_that_nobody_gave() -> None:
    row = ask()
    with _entry_refused():
        _grant_by(row, "one")


@contextmanager
def _entry_refused() -> Iterator[None]:
    with pytest.raises(InvalidEntry) as caught, transaction.atomic():
        yield
    assert caught.value.details["rule"] == "ledger_entry_approved"


@pytest.mark.django_db
def test_a_kind_of_entry_that_needs_an_approval_is_not_posted_without() -> None:
    """Whoever writes: here by raw SQL."""
    with refused("ledger_entry_needs_approval"):
        raw_entry(movement=movements.CREDIT_TRANSFERRED)


def _grant_by(row: Approval, key: str, **change: Any) -> CreditGrant:
    terms: dict[str, Any] = {
        "customer_key": "cus-1", "kind": "goodwill", "amount": Money("400", "USD"), "reason_code": "outage",
        "actor": AGENT, "at": AT,
    }  # fmt: skip
    return crediting.grant(**terms | change, key=key, approval=row)


def _decided(row: Approval) -> None:
    sql(
        "UPDATE billing_ops_approval SET status = 'approved', decided_at = %s, decided_by_type = 'user',"
        " decided_by_id = 'bob' WHERE id = %s",
        AT,
        row.pk,
    )


# The trigger and the rule --------------------------------------------------------------------------------------------

_RULE_OF = {
    "ledger_limit_per_credit": "per_credit",
    "ledger_limit_per_agent_day": "per_agent_day",
    "ledger_limit_per_customer_30_days": "per_customer_30_days",
    "ledger_limit_splitting": "splitting",
}


@pytest.mark.django_db
@pytest.mark.parametrize("seed", [1, 2])
def test_the_trigger_decides_as_the_rule_does(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Three weeks of credits of every size, to few customers, by few agents: both say the same to each."""
    chance = Random(seed)  # noqa: S311  # no secret
    monkeypatch.setattr(limiting, "enforce", lambda **_: "Support")
    at, outcomes = AT, set()
    for number in range(160):
        at += timedelta(hours=chance.choice((0, 0, 0, 0, 0, 0, 1, 5, 30)))
        actor = Actor("user", f"agent-{chance.randrange(2)}")
        customer, amount = f"cus-{chance.randrange(20)}", chance.choice((1, 34, 50, 99, 100, 101))
        terms = Terms(customer_key=customer, kind="goodwill", amount=Decimal(amount), unit="USD", reason_code="outage")
        found = limiting.check(terms=terms, actor=actor, authority=SUPPORT, at=at)
        refused_by = ""
        try:
            with transaction.atomic():
                give(f"k{number}", str(amount), customer=customer, actor=actor, at=at)
        except DatabaseError as error:
            refused_by = _RULE_OF[posting.violated_rule(error)]
        assert refused_by == (found.rule if isinstance(found, Above) else ""), (number, terms, found)
        outcomes.add(refused_by)
    assert outcomes == {"", *_RULE_OF.values()}


def test_the_trigger_alone_keeps_the_limit_however_many_come_at_once(
    fresh_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without our locks and our check, as somebody would write who goes round them."""
    monkeypatch.setattr(limiting, "enforce", lambda **_: "Support")
    monkeypatch.setattr(limiting, "lock_agent", lambda _: None)
    answers = all_at_once(16, lambda n: give(f"k{n}", "60", customer=f"cus-{n}"))
    made = [one for one in answers if isinstance(one, CreditGrant)]
    others = {posting.violated_rule(one) for one in answers if not isinstance(one, CreditGrant)}
    assert (len(made), others) == (8, {"ledger_limit_per_agent_day"})


@pytest.mark.parametrize(
    "edit", ["given_at = given_at - interval '2 days'", "agent_type = 'api_key'", "role = 'Nobody'"]
)
def test_what_counts_is_verified(fresh_db: Database, edit: str) -> None:
    give("a", "5")
    assert proofs.violations() == []
    with unguarded(fresh_db) as admin:
        admin.execute(f"UPDATE ledger_limit_use SET {edit}")
    assert [found.rule for found in proofs.violations()] == ["LIMITED"]

"""Holds: kept, settled, released, lapsed; once, and never above what they keep; whoever writes."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, ProgrammingError, transaction

from billing_ops.kit.errors import InvalidInput
from ledger import balances, holding, posting, proofs, voiding
from ledger.models import Balance, CreditDraw, Hold, HoldAllocation, HoldResolution, OpenHold
from ledger.rules.draws import InvalidDraw
from tests.ledger.books import AT, ROBOT, give, refused, sql
from tests.ledger.tamper import unguarded
from tests.ledger.test_at_the_same_time import all_at_once
from tests.ledger.test_drawing import draw, journal_of
from tests.support.database import Database

D = Decimal
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _anybody_holds_credit(settings: Any) -> None:
    settings.CREDIT_HOLDER_CHECK = ""


def hold(key: str, amount: str, **terms: Any) -> Hold:
    at = terms.pop("at", AT)
    return holding.reserve(
        customer_key="cus-1",
        unit="USD",
        amount=D(amount),
        feature=terms.pop("feature", ""),
        key=key,
        at=at,
        expires_at=terms.pop("expires_at", at + HOUR),
        actor=ROBOT,
        **terms,
    )


def settle(kept: Hold, actual: str, **terms: Any) -> Any:
    return holding.settle(hold=kept, actual=D(actual), at=terms.pop("at", AT), actor=ROBOT, **terms)


def left() -> Any:
    found = balances.of(customer_key="cus-1", unit="USD")
    return found.credits_total, found.held


@pytest.mark.django_db
class TestHolds:
    @pytest.fixture(autouse=True)
    def _proven(self) -> Iterator[None]:
        yield
        assert proofs.violations() == []

    def test_what_is_held_is_not_there_for_others_and_nothing_is_posted(self) -> None:
        give("p", "10")
        entries = sql("SELECT count(*) FROM ledger_entry")
        hold("h", "6")
        assert left() == (10, 6)
        assert sql("SELECT count(*) FROM ledger_entry") == entries
        assert draw("a", "5").shortfall == 1
        assert draw("b", "4").outcome == "accepted"

    def test_it_is_settled_with_what_was_used_and_the_rest_is_free(self) -> None:
        give("p", "3")
        give("g", "7", kind="paid")
        kept = hold("h", "6", usage_ref="evt-1")
        made = settle(kept, "3.20")
        assert made.draw is not None
        assert (made.amount, made.draw.usage_ref) == (D("3.20"), "evt-1")
        assert journal_of(made.draw.entry_id)[:2] == [("Dr", "2000", D("0.20")), ("Dr", "4900", D(3))]
        assert left() == (D("6.80"), 0)

    def test_settling_again_is_the_same_and_with_another_amount_refused(self) -> None:
        give("p", "10")
        kept = hold("h", "6")
        first = settle(kept, "3")
        again = settle(kept, "3")
        assert again.draw is not None
        assert first.draw is not None
        assert again.draw.pk == first.draw.pk
        with pytest.raises(holding.HoldResolved):
            settle(kept, "4")
        with pytest.raises(holding.HoldResolved):
            holding.release(hold=kept, at=AT, actor=ROBOT)

    def test_nothing_used_draws_nothing(self) -> None:
        give("p", "10")
        kept = hold("h", "6")
        assert settle(kept, "0").draw is None
        assert settle(kept, "0").draw is None
        assert left() == (10, 0)
        assert not CreditDraw.objects.exists()

    def test_more_than_is_held(self) -> None:
        give("p", "8")
        kept = hold("h", "6")
        with pytest.raises(holding.HoldExceeded):
            settle(kept, "7")
        with pytest.raises(holding.CreditShort):
            settle(kept, "9", rest="draw")
        assert left() == (8, 6)
        made = settle(kept, "7", rest="draw")
        assert made.draw is not None
        assert (made.amount, made.draw.amount, made.draw.outcome) == (6, 7, "accepted")
        assert left() == (1, 0)

    def test_more_than_there_is_is_owed(self) -> None:
        give("p", "8")
        made = settle(hold("h", "6"), "10", rest="overage")
        assert made.draw is not None
        assert (made.draw.outcome, made.draw.overage, made.draw.shortfall) == ("overage", 2, 2)
        assert left() == (0, 0)

    def test_a_release_gives_all_of_it_back_once(self) -> None:
        give("p", "10")
        kept = hold("h", "6")
        first = holding.release(hold=kept, at=AT, actor=ROBOT)
        assert holding.release(hold=kept, at=AT + HOUR, actor=ROBOT).recorded_at == first.recorded_at
        assert left() == (10, 0)
        with pytest.raises(holding.HoldResolved):
            settle(kept, "1")

    def test_it_lapses_by_the_clock_and_when_somebody_is_short(self) -> None:
        give("p", "10")
        hold("a", "6")
        hold("b", "3", expires_at=AT + 2 * HOUR)
        assert holding.lapse_due(at=AT + HOUR - timedelta(seconds=1)) == 0
        assert holding.lapse_due(at=AT + HOUR) == 1
        assert left() == (10, 3)
        assert draw("k", "9", at=AT + HOUR).outcome == "refused"
        assert draw("l", "9", at=AT + 2 * HOUR).outcome == "accepted"
        assert hold("c", "1", at=AT + 2 * HOUR).amount == 1

    def test_a_hold_that_is_short_lets_those_go_whose_time_is_over(self) -> None:
        give("p", "10")
        hold("a", "6")
        with pytest.raises(holding.CreditShort):
            hold("b", "5")
        assert hold("b", "5", at=AT + HOUR).amount == 5

    def test_the_same_key_is_the_same_hold(self) -> None:
        give("p", "10")
        first = hold("h", "6")
        assert hold("h", "6").pk == first.pk
        with pytest.raises(holding.HoldDiffers) as caught:
            hold("h", "5", feature="x")
        assert caught.value.details["differs"] == ["amount", "feature"]

    def test_partial_keeps_what_there_is(self) -> None:
        give("p", "10")
        assert hold("a", "60", policy="partial").amount == 10
        with pytest.raises(holding.CreditShort):
            hold("b", "1", policy="partial")

    def test_what_is_held_survives_the_expiry_of_its_credit_and_then_expires(self) -> None:
        grant = give("p", "10", expires_at=AT + HOUR)
        kept = hold("h", "6", expires_at=AT + 5 * HOUR)
        assert voiding.expire(grant=grant, at=AT + HOUR, actor=ROBOT) is not None
        assert left() == (6, 6)
        assert settle(kept, "4", at=AT + 2 * HOUR).amount == 4
        assert left() == (2, 0)
        assert voiding.expire(grant=grant, at=AT + 2 * HOUR, actor=ROBOT) is not None
        assert left() == (0, 0)

    def test_what_is_no_hold(self) -> None:
        give("p", "10")
        with pytest.raises(InvalidInput):
            hold("h", "1", expires_at=AT)
        with pytest.raises(InvalidDraw):
            hold("h", "0")
        with pytest.raises(InvalidInput):
            settle(hold("h", "1"), "-1")


@pytest.mark.django_db
class TestGuards:
    """Raw SQL, as the application."""

    @pytest.fixture
    def kept(self) -> Hold:
        give("p", "10")
        give("q", "10", kind="goodwill")
        return hold("h", "6")

    def resolve(
        self, kept: Hold, kind: str = "settled", amount: str = "0", draw: int | None = None, at: Any = AT
    ) -> None:
        sql(
            "INSERT INTO ledger_hold_resolution (hold_id, kind, amount, draw_id, actor_type, actor_id, resolved_at)"
            " VALUES (%s, %s, %s, %s, 'system', 'raw', %s)",
            kept.pk,
            kind,
            amount,
            draw,
            at,
        )

    def test_a_hold_ends_once(self, kept: Hold) -> None:
        self.resolve(kept, "released")
        with pytest.raises(IntegrityError, match="ledger_hold_resolution_pkey"), transaction.atomic():
            self.resolve(kept, "released")
        assert left() == (20, 0)

    def test_a_hold_is_not_settled_above_its_amount(self, kept: Hold) -> None:
        made = draw("k", "7")
        with refused("ledger_hold_amount_settled"):
            self.resolve(kept, "settled", "7", made.id)

    def test_a_hold_is_not_settled_by_anothers_or_a_smaller_draw(self, kept: Hold) -> None:
        give("x", "10", customer="cus-2")
        others, small = draw("k", "5", customer_key="cus-2"), draw("l", "1")
        for made in (others, small):
            with refused("ledger_hold_draw"):
                self.resolve(kept, "settled", "5", made.id)
        with refused("ledger_hold_resolution_kind"):
            self.resolve(kept, "settled", "5")

    def test_a_draw_settles_one_hold(self, kept: Hold) -> None:
        other = hold("i", "1")
        made = settle(kept, "1").draw
        with pytest.raises(IntegrityError), transaction.atomic():
            self.resolve(other, "settled", "1", made.pk)

    def test_a_hold_is_not_settled_by_a_draw_of_something_else(self, kept: Hold) -> None:
        with refused("ledger_hold_draw"):
            self.resolve(kept, "settled", "5", draw("l", "5").id)

    def test_a_hold_does_not_lapse_early(self, kept: Hold) -> None:
        with refused("ledger_hold_lapses"):
            self.resolve(kept, "lapsed", at=AT + HOUR - timedelta(seconds=1))

    def test_nothing_is_added_to_a_hold_later(self) -> None:
        give("p", "6")
        kept = hold("h", "6")
        other = give("q", "6")
        self.resolve(kept, "released")
        with refused("ledger_hold_eligible"):
            sql(
                "INSERT INTO ledger_hold_allocation (hold_id, grant_id, amount) VALUES (%s, %s, 1)",
                kept.pk,
                other.pk,
            )

    def raw_hold(self, wallet: int, amount: str, **other: Any) -> int:
        values = {
            "public_id": uuid4(),
            "wallet_id": wallet,
            "idempotency_key": uuid4().hex,
            "feature": "",
            "usage_ref": "",
            "asked": amount,
            "amount": amount,
            "policy": "all",
            "used_at": AT,
            "expires_at": AT + HOUR,
            "actor_type": "system",
            "actor_id": "raw",
            **other,
        }
        marks = ", ".join(["%s"] * len(values))
        return int(
            sql(f"INSERT INTO ledger_hold ({', '.join(values)}) VALUES ({marks}) RETURNING id", *values.values())[0][0]
        )

    def test_a_hold_is_what_its_allocations_keep(self) -> None:
        grant = give("p", "10")
        with refused("ledger_hold_whole"):
            made = self.raw_hold(grant.wallet_id, "5")
            sql("INSERT INTO ledger_hold_allocation (hold_id, grant_id, amount) VALUES (%s, %s, 4)", made, grant.pk)

    def test_what_is_checked_at_commit_is_not_checked_early_and_then_changed(self) -> None:
        grant, other = give("p", "10"), give("q", "10")
        with refused("ledger_hold_whole"):
            made = self.raw_hold(grant.wallet_id, "4")
            sql("INSERT INTO ledger_hold_allocation (hold_id, grant_id, amount) VALUES (%s, %s, 4)", made, grant.pk)
            sql("SET CONSTRAINTS ALL IMMEDIATE")
            sql("SET CONSTRAINTS ALL DEFERRED")
            sql("INSERT INTO ledger_hold_allocation (hold_id, grant_id, amount) VALUES (%s, %s, 6)", made, other.pk)

    def test_a_hold_of_nan_would_lift_the_floor(self) -> None:
        grant = give("p", "10")
        with refused("ledger_hold_number"):
            self.raw_hold(grant.wallet_id, "NaN")
        with refused("ledger_hold_allocation_number"):
            made = self.raw_hold(grant.wallet_id, "1")
            sql("INSERT INTO ledger_hold_allocation (hold_id, grant_id, amount) VALUES (%s, %s, 'NaN')", made, grant.pk)

    def test_a_hold_of_more_than_there_is(self) -> None:
        grant = give("p", "10")
        with refused("ledger_balance_no_overdraft"):
            made = self.raw_hold(grant.wallet_id, "11")
            sql("INSERT INTO ledger_hold_allocation (hold_id, grant_id, amount) VALUES (%s, %s, 11)", made, grant.pk)

    def test_a_hold_of_anothers_or_restricted_credit(self) -> None:
        grant = give("p", "10")
        for other in (
            give("q", "10", customer="cus-2"),
            give("r", "10", scope=["x"]),
            give("s", "9", expires_at=AT + HOUR, effective_at=AT + timedelta(minutes=1)),
        ):
            with refused("ledger_hold_eligible"):
                made = self.raw_hold(grant.wallet_id, "1")
                sql("INSERT INTO ledger_hold_allocation (hold_id, grant_id, amount) VALUES (%s, %s, 1)", made, other.pk)

    def test_a_hold_of_no_wallet_or_of_another_time(self) -> None:
        grant = give("p", "10")
        with refused("ledger_hold_wallet"):
            self.raw_hold(10**9, "1")
        with refused("ledger_hold_wallet"):
            self.raw_hold(grant.wallet_id, "1", created_xid="3")

    @pytest.mark.parametrize("table", ["hold", "hold_allocation", "hold_resolution"])
    def test_facts_never_change(self, kept: Hold, table: str) -> None:
        holding.release(hold=kept, at=AT, actor=ROBOT)
        for statement in ("UPDATE ledger_{} SET amount = 1", "DELETE FROM ledger_{}", "TRUNCATE ledger_{} CASCADE"):
            with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
                sql(statement.format(table))

    def test_nobody_moves_what_is_held_or_open_by_hand(self, kept: Hold) -> None:
        for statement in (
            "UPDATE ledger_balance SET held = 0",
            "DELETE FROM ledger_hold_open",
            "INSERT INTO ledger_hold_open (hold_id, wallet_id, expires_at) VALUES (1, 1, now())",
        ):
            with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
                sql(statement)
        assert OpenHold.objects.count() == 1
        assert HoldAllocation.objects.get().amount == 6

    def test_what_is_held_cannot_be_drawn_past_the_door(self, kept: Hold) -> None:
        with pytest.raises(posting.InvalidEntry), transaction.atomic():
            _take_all_raw(kept)


def _take_all_raw(kept: Hold) -> None:
    """A draw of more than is available, written rightly but for that."""
    from ledger.rules import movements
    from ledger.rules.movements import CreditUse

    grant = HoldAllocation.objects.select_related("grant").get(hold=kept).grant
    reserved = posting.reserve_entry_id()
    made = sql(
        "INSERT INTO ledger_credit_draw (wallet_id, idempotency_key, ref, feature, amount, shortfall, outcome, used_at,"
        " entry_id) VALUES (%s, 'raw', '', '', 9, 0, 'accepted', %s, %s) RETURNING id",
        kept.wallet_id,
        AT,
        reserved,
    )[0][0]
    sql("INSERT INTO ledger_credit_draw_allocation (draw_id, grant_id, amount) VALUES (%s, %s, 9)", made, grant.pk)
    try:
        posting.post(
            movement=movements.CREDIT_DRAWN,
            key="raw",
            lines=movements.credit_drawn(
                customer_key="cus-1", unit="USD", uses=[CreditUse(grant.kind, str(grant.public_id), D(9), reserved)]
            ),
            at=AT,
            actor=ROBOT,
        )
    except posting.Overdraft as error:
        raise posting.InvalidEntry(str(error)) from error


class TestTampering:
    """As the superuser, past every guard."""

    @pytest.mark.parametrize(
        ("edit", "rule"),
        [
            ("UPDATE ledger_hold_open SET expires_at = expires_at + interval '1 day'", "I5"),
            ("UPDATE ledger_hold SET used_at = used_at - interval '1 year'", "I5"),
            ("UPDATE ledger_hold_resolution SET hold_id = (SELECT max(id) FROM ledger_hold)", "I6"),
            ("UPDATE ledger_balance SET held = 0", "I5"),
        ],
    )
    def test_it_is_named(self, fresh_db: Database, edit: str, rule: str) -> None:
        give("p", "10")
        settle(hold("h", "3"), "2")
        hold("i", "3")
        assert proofs.violations() == []
        with unguarded(fresh_db) as admin:
            admin.execute(edit)
        assert rule in {found.rule for found in proofs.violations()}


class TestRaces:
    def test_two_settle_once(self, fresh_db: Database) -> None:
        give("p", "100")
        kept = hold("h", "60")
        answers = all_at_once(8, lambda n: settle(holding.get(public_id=kept.public_id), "40"))
        assert {answer.draw.pk for answer in answers} == {CreditDraw.objects.get().pk}
        assert left() == (60, 0)

    def test_two_settle_differently_and_one_wins(self, fresh_db: Database) -> None:
        give("p", "100")
        kept = hold("h", "60")
        answers = all_at_once(6, lambda n: settle(holding.get(public_id=kept.public_id), str(n + 1)))
        won = [answer for answer in answers if isinstance(answer, holding.Settled)]
        lost = [answer for answer in answers if isinstance(answer, holding.HoldResolved)]
        assert (len(won), len(lost)) == (1, 5), answers
        assert left() == (100 - won[0].amount, 0)

    @pytest.mark.parametrize("other", ["lapse", "release"])
    def test_settled_or_ended_otherwise_never_both(self, fresh_db: Database, other: str) -> None:
        give("p", "100")
        holds = [hold(f"h{n}", "10") for n in range(6)]

        def act(n: int) -> Any:
            kept = holding.get(public_id=holds[n // 2].public_id)
            if n % 2:
                return settle(kept, "7", at=AT + HOUR)
            if other == "lapse":
                return holding.lapse_due(at=AT + HOUR)
            return holding.release(hold=kept, at=AT + HOUR, actor=ROBOT)

        answers = all_at_once(12, act)
        assert all(
            not isinstance(answer, Exception) or isinstance(answer, holding.HoldResolved) for answer in answers
        ), answers
        settled = HoldResolution.objects.filter(kind="settled").count()
        assert HoldResolution.objects.count() == 6
        assert left() == (100 - 7 * settled, 0)
        assert Balance.objects.filter(held__gt=0).count() == 0
        assert proofs.violations() == []

    def test_one_key_is_one_hold_however_many_ask(self, fresh_db: Database) -> None:
        give("p", "100")
        assert len({answer.pk for answer in all_at_once(12, lambda _: hold("h", "10"))}) == 1
        assert left() == (100, 10)

    def test_no_credit_is_held_twice(self, fresh_db: Database) -> None:
        give("p", "7")
        answers = all_at_once(12, lambda n: hold(f"h{n}", "1"))
        assert sum(isinstance(answer, Hold) for answer in answers) == 7
        assert left() == (7, 7)

"""What a correction gives back: in reverse, once, never more than was drawn; whoever writes."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import ProgrammingError, transaction

from billing_ops.kit.errors import InvalidInput
from ledger import balances, posting, proofs, registering, returning, voiding
from ledger.draws import DrawNotFound
from ledger.models import CreditReturn, CreditReturnAllocation, Entry
from ledger.rules import movements
from tests.ledger.books import AT, ROBOT, give, refused, spend, sql
from tests.ledger.test_at_the_same_time import all_at_once
from tests.ledger.test_drawing import draw, journal_of
from tests.support.database import Database

D = Decimal
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _anybody_holds_credit(settings: Any) -> None:
    settings.CREDIT_HOLDER_CHECK = ""


def back(draw_id: int, amount: str, key: str = "r", **terms: Any) -> Any:
    return returning.give_back(
        draw_id=draw_id,
        amount=D(amount),
        key=key,
        at=terms.pop("at", AT),
        actor=ROBOT,
        reason_code=terms.pop("reason_code", "overcounted"),
        **terms,
    )


def parts(made: CreditReturn) -> dict[str, Decimal]:
    rows = CreditReturnAllocation.objects.filter(given=made).values_list("grant__idempotency_key", "amount")
    return dict(rows)


@pytest.mark.django_db
class TestReturns:
    @pytest.fixture(autouse=True)
    def _proven(self) -> Iterator[None]:
        yield
        assert proofs.violations() == []

    def test_what_was_drawn_last_comes_back_first(self) -> None:
        give("soon", "5", expires_at=AT + HOUR)
        give("later", "5", expires_at=AT + 2 * HOUR)
        give("paid", "50", kind="paid")
        made = draw("k", "14")
        assert parts(back(made.id, "6")) == {"paid": D(4), "later": D(2)}
        assert parts(back(made.id, "8", key="s")) == {"later": D(3), "soon": D(5)}
        assert balances.of(customer_key="cus-1", unit="USD").credits_total == 60

    def test_the_entry_mirrors_the_draw(self) -> None:
        give("p", "20")
        give("g", "100", kind="paid")
        made = back(draw("k", "30").id, "15")
        assert journal_of(made.entry_id) == [
            ("Dr", "4000", D(15)),
            ("Cr", "2000", D(10)),
            ("Cr", "4900", D(5)),
            ("Dr", "9000", D(5)),
            ("Cr", "9010", D(5)),
        ]
        (entry,) = Entry.objects.filter(event_type="credit.returned")
        assert (entry.reason_code, entry.metadata) == ("overcounted", {"draw": made.draw_id})

    def test_overage_is_taken_back_first(self) -> None:
        give("p", "20")
        made = draw("k", "30", policy="overage")
        first = back(made.id, "4")
        assert (first.overage, first.overage_money, parts(first)) == (4, 4, {})
        second = back(made.id, "9", key="s")
        assert (second.overage, parts(second)) == (6, {"p": D(3)})
        assert balances.of(customer_key="cus-1", unit="USD").unbilled == 0

    def test_overage_in_thirds_comes_back_to_the_last_digit(self) -> None:
        registering.register(code="tokens", at=AT, actor=ROBOT)
        registering.set_rate(
            unit="tokens", currency="USD", rate=D("0.333333333333"), valid_from=AT, reason="price", at=AT, actor=ROBOT
        )
        made = draw("k", "3", unit="tokens", policy="overage")
        money = [back(made.id, amount, key=amount).overage_money for amount in ("0.7", "1.1", "1.2")]
        assert sum(money) == made.overage == D("0.999999999999")

    def test_never_more_than_was_drawn(self) -> None:
        give("p", "20")
        made = draw("k", "10")
        back(made.id, "7")
        with pytest.raises(returning.TooMuchReturned) as caught:
            back(made.id, "4", key="s")
        assert caught.value.details["too_much"] == "1"
        with pytest.raises(DrawNotFound):
            back(10**9, "1", key="t")
        with pytest.raises(returning.TooMuchReturned):
            back(draw("refused", "99").id, "1", key="u")

    def test_the_same_key_gives_back_once(self) -> None:
        give("p", "20")
        made = draw("k", "10")
        assert back(made.id, "4").pk == back(made.id, "4", at=AT + HOUR).pk
        with pytest.raises(returning.ReturnDiffers) as caught:
            back(made.id, "5", reason_code="other")
        assert caught.value.details["differs"] == ["amount", "reason_code"]

    def test_what_comes_back_to_an_expired_grant_expires_again(self) -> None:
        grant = give("p", "20", expires_at=AT + HOUR)
        made = draw("k", "10")
        voiding.expire(grant=grant, at=AT + HOUR, actor=ROBOT)
        back(made.id, "4", at=AT + 2 * HOUR)
        assert voiding.expire(grant=grant, at=AT + 2 * HOUR, actor=ROBOT) is not None
        found: Any = balances.with_balances([grant], at=AT + 2 * HOUR)[0]
        assert (found.remaining, found.used, found.expired) == (0, 6, 14)

    def test_an_invoices_draw_comes_back_as_a_concession(self) -> None:
        give("p", "20")
        spend("inv", "10")
        draw_id = sql("SELECT id FROM ledger_credit_draw")[0][0]
        made = back(draw_id, "4", against="4910")
        assert journal_of(made.entry_id)[0] == ("Dr", "4910", D(4))

    @pytest.mark.parametrize(
        "terms", [{"amount": "0"}, {"amount": "-1"}, {"key": ""}, {"key": "a\0"}, {"reason_code": ""}]
    )
    def test_what_is_no_return(self, terms: dict[str, Any]) -> None:
        give("p", "20")
        made = draw("k", "10")
        with pytest.raises(InvalidInput):
            back(made.id, terms.pop("amount", "1"), **terms)


@pytest.mark.django_db
class TestGuards:
    """Raw SQL, as the application."""

    def raw(self, draw_id: int, amount: str, entry: int, *, grant: int, overage: str = "0", key: str = "raw") -> int:
        made = sql(
            "INSERT INTO ledger_credit_return (wallet_id, idempotency_key, draw_id, amount, overage, overage_money,"
            " entry_id, reason_code, reason_note, ticket, actor_type, actor_id, returned_at)"
            " SELECT wallet_id, %s, id, %s, %s, %s, %s, 'x', '', '', 'system', 'raw', %s FROM ledger_credit_draw"
            " WHERE id = %s RETURNING id",
            key,
            amount,
            overage,
            overage,
            entry,
            AT,
            draw_id,
        )[0][0]
        given = D(amount) - D(overage)
        if given:
            sql(
                "INSERT INTO ledger_credit_return_allocation (return_id, grant_id, amount) VALUES (%s, %s, %s)",
                made,
                grant,
                given,
            )
        return int(made)

    def post(self, entry: int, amount: str, grant: Any) -> None:
        from ledger.rules.movements import CreditUse

        lines = movements.credit_returned(
            customer_key="cus-1", unit="USD", uses=[CreditUse("promotional", str(grant.public_id), D(amount))]
        )
        posting.post(
            movement=movements.CREDIT_RETURNED,
            key=f"raw {entry}",
            lines=[replace(lines[0], reserved_id=entry), *lines[1:]],
            at=AT,
            actor=ROBOT,
        )

    def test_a_right_return_by_raw_sql_is_accepted(self) -> None:
        grant = give("p", "20")
        made, entry = draw("k", "10"), posting.reserve_entry_id()
        self.raw(made.id, "4", entry, grant=grant.pk)
        self.post(entry, "4", grant)
        sql("SET CONSTRAINTS ALL IMMEDIATE")
        assert proofs.violations() == []

    def test_more_than_was_drawn_in_two_returns(self) -> None:
        grant = give("p", "20")
        made = draw("k", "10")
        back(made.id, "7")
        entry = posting.reserve_entry_id()
        with pytest.raises(posting.InvalidEntry) as caught, transaction.atomic():  # noqa: PT012
            self.raw(made.id, "4", entry, grant=grant.pk)
            self.post(entry, "4", grant)
        assert caught.value.details["rule"] == "ledger_return_of_draw"

    def test_another_amount_than_the_returns_say(self) -> None:
        grant = give("p", "20")
        made, entry = draw("k", "10"), posting.reserve_entry_id()
        with pytest.raises(posting.InvalidEntry) as caught, transaction.atomic():  # noqa: PT012
            self.raw(made.id, "3", entry, grant=grant.pk)
            self.post(entry, "4", grant)
        assert caught.value.details["rule"] == "ledger_line_returned"
        with pytest.raises(posting.InvalidEntry) as caught, transaction.atomic():
            self.post(posting.reserve_entry_id(), "4", grant)
        assert caught.value.details["rule"] == "ledger_line_returned"

    def test_to_another_grant_or_more_than_it_gave(self) -> None:
        grant, other = give("p", "20"), give("q", "20")
        made = draw("k", "10")
        for target, amount in ((other.pk, "1"), (grant.pk, "11")):
            with refused("ledger_return_allocation"):
                self.raw(made.id, amount, posting.reserve_entry_id(), grant=target)

    def test_without_its_entry_it_does_not_commit(self) -> None:
        grant = give("p", "20")
        made = draw("k", "10")
        with refused("ledger_return_posted"):
            self.raw(made.id, "4", posting.reserve_entry_id(), grant=grant.pk)

    def test_under_an_entry_that_is_there(self) -> None:
        grant = give("p", "20")
        made = draw("k", "10")
        entry = back(made.id, "1").entry_id
        with refused("ledger_return_before_entry"):
            self.raw(made.id, "4", entry, grant=grant.pk)

    def test_of_a_refusal(self) -> None:
        grant = give("p", "20")
        made = draw("k", "99")
        with refused("ledger_return_draw"):
            self.raw(made.id, "4", posting.reserve_entry_id(), grant=grant.pk)

    def test_overage_that_nobody_owed(self) -> None:
        grant = give("p", "20")
        made = draw("k", "10")
        with pytest.raises(posting.InvalidEntry), transaction.atomic():  # noqa: PT012
            entry = posting.reserve_entry_id()
            self.raw(made.id, "4", entry, grant=grant.pk, overage="3")
            self.post(entry, "1", grant)

    def test_the_money_of_overage_without_its_amount(self) -> None:
        give("p", "5")
        made, entry = draw("k", "15", policy="overage"), posting.reserve_entry_id()
        with pytest.raises(posting.InvalidEntry) as caught, transaction.atomic():  # noqa: PT012
            sql(
                "INSERT INTO ledger_credit_return (wallet_id, idempotency_key, draw_id, amount, overage, overage_money,"
                " entry_id, reason_code, reason_note, ticket, actor_type, actor_id, returned_at)"
                " SELECT wallet_id, 'raw', id, 0.01, 0.01, 10, %s, 'x', '', '', 'system', 'raw', %s"
                " FROM ledger_credit_draw WHERE id = %s",
                entry,
                AT,
                made.id,
            )
            lines = movements.credit_returned(customer_key="cus-1", unit="USD", uses=[], overage=D(10), currency="USD")
            reserved = [replace(lines[0], reserved_id=entry), *lines[1:]]
            posting.post(movement=movements.CREDIT_RETURNED, key="raw", lines=reserved, at=AT, actor=ROBOT)
        assert caught.value.details["rule"] == "ledger_return_of_draw"

    def test_a_draw_that_was_given_back_is_not_reversed_and_the_other_way_round(self) -> None:
        give("p", "20")
        one, two = draw("k", "5"), draw("l", "5")
        back(one.id, "1")
        terms: dict[str, Any] = {"at": AT, "actor": ROBOT, "reason_code": "test"}
        with pytest.raises(posting.InvalidEntry) as caught:
            posting.reverse(entry=Entry.objects.get(pk=one.entry_id), key="u1", **terms)
        assert caught.value.details["rule"] == "ledger_return_of_draw"
        with pytest.raises(posting.InvalidEntry) as caught:
            posting.reverse(entry=Entry.objects.get(event_type="credit.returned"), key="u2", **terms)
        assert caught.value.details["rule"] == "ledger_return_stays"
        posting.reverse(entry=Entry.objects.get(pk=two.entry_id), key="u3", **terms)
        with pytest.raises(posting.InvalidEntry) as caught:
            back(two.id, "1", key="s")
        assert caught.value.details["rule"] == "ledger_return_of_draw"
        assert proofs.violations() == []

    @pytest.mark.parametrize("table", ["credit_return", "credit_return_allocation"])
    def test_facts_never_change(self, table: str) -> None:
        give("p", "20")
        back(draw("k", "10").id, "4")
        for statement in ("UPDATE ledger_{} SET amount = 1", "DELETE FROM ledger_{}", "TRUNCATE ledger_{} CASCADE"):
            with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
                sql(statement.format(table))


class TestRaces:
    def test_one_draw_is_given_back_once(self, fresh_db: Database) -> None:
        give("p", "20")
        made = draw("k", "10")
        answers = all_at_once(8, lambda n: back(made.id, "3", key=f"r{n}"))
        assert sum(isinstance(answer, CreditReturn) for answer in answers) == 3, answers
        assert balances.of(customer_key="cus-1", unit="USD").credits_total == 19
        assert proofs.violations() == []

    def test_one_key_however_many_ask(self, fresh_db: Database) -> None:
        give("p", "20")
        made = draw("k", "10")
        assert len({answer.pk for answer in all_at_once(8, lambda _: back(made.id, "3"))}) == 1
        assert balances.of(customer_key="cus-1", unit="USD").credits_total == 13

"""Draws as credit is used: outcomes, keys, late uses, the journal, and where credit went."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import given as for_all
from hypothesis import settings as examples
from hypothesis import strategies as st

from billing_ops.kit.errors import BillingError
from ledger import balances, drawing, draws, proofs, registering, voiding
from ledger.models import CreditDraw, Entry, Line
from ledger.rules.burndown import Burning, Need, Purse, burn
from ledger.rules.draws import InvalidDraw, Order
from tests.ledger.books import AT, ROBOT, give, sql

D = Decimal
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _anybody_holds_credit(settings: Any) -> None:
    settings.CREDIT_HOLDER_CHECK = ""


def draw(key: str, amount: str, **terms: Any) -> Any:
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


def order(key: str, amount: str, customer: str = "cus-1", **terms: Any) -> Order:
    return Order(customer, "USD", D(amount), key, **terms)


def journal_of(entry_id: int | None) -> list[tuple[str, str, Decimal]]:
    lines = Line.objects.filter(entry=entry_id).select_related("account").order_by("line_no")
    return [("Dr" if line.side > 0 else "Cr", line.account.code_id, line.amount) for line in lines]


@pytest.mark.django_db
class TestOutcomes:
    def test_a_draw_takes_in_the_burn_order_and_is_posted(self) -> None:
        given, paid = give("p", "20"), give("g", "100", kind="paid")
        made = draw("k", "30", usage_ref="evt-1")
        assert made.outcome == "accepted"
        assert made.allocations == [(str(given.public_id), D(20)), (str(paid.public_id), D(10))]
        assert journal_of(made.entry_id) == [
            ("Dr", "2000", D(10)),
            ("Dr", "4900", D(20)),
            ("Cr", "4000", D(30)),
            ("Dr", "9010", D(20)),
            ("Cr", "9000", D(20)),
        ]
        assert proofs.violations() == []

    def test_all_or_nothing_leaves_the_credit_and_says_what_is_missing(self) -> None:
        give("p", "20")
        made = draw("k", "30")
        assert (made.outcome, made.drawn, made.shortfall, made.entry_id) == ("refused", 0, 10, None)
        assert balances.of(customer_key="cus-1", unit="USD").promotional_credits == 20

    def test_partial_takes_what_there_is(self) -> None:
        give("p", "20")
        made = draw("k", "30", policy="partial")
        assert (made.outcome, made.drawn, made.shortfall) == ("partial", 20, 10)
        assert draw("l", "1", policy="partial").outcome == "refused"

    def test_overage_is_owed_in_the_same_entry(self) -> None:
        give("p", "20", kind="paid")
        made = draw("k", "30", policy="overage")
        assert (made.outcome, made.drawn, made.overage, made.overage_currency) == ("overage", 20, 10, "USD")
        assert journal_of(made.entry_id) == [
            ("Dr", "2000", D(20)),
            ("Dr", "1110", D(10)),
            ("Cr", "4000", D(20)),
            ("Cr", "4020", D(10)),
        ]
        assert balances.of(customer_key="cus-1", unit="USD").unbilled == 10
        assert draw("l", "5", policy="overage").overage == 5  # no credit at all
        assert proofs.violations() == []

    def test_overage_of_a_companys_own_unit_is_priced_at_its_rate(self) -> None:
        registering.register(code="tokens", at=AT, actor=ROBOT)
        with pytest.raises(drawing.NoRate):
            draw("k", "3", unit="tokens", policy="overage")
        registering.set_rate(
            unit="tokens", currency="USD", rate=D("0.02"), valid_from=AT, reason="price", at=AT, actor=ROBOT
        )
        made = draw("k", "3", unit="tokens", policy="overage")
        assert (made.overage, made.overage_currency) == (D("0.06"), "USD")
        assert proofs.violations() == []

    def test_restricted_credit_pays_only_for_its_features(self) -> None:
        give("p", "20", scope=["images"])
        assert draw("a", "1", feature="text").outcome == "refused"
        assert draw("b", "1", feature="images").outcome == "accepted"

    @pytest.mark.parametrize(
        ("field", "terms"),
        [
            ("amount", {"amount": "0"}),
            ("amount", {"amount": "-1"}),
            ("amount", {"amount": "NaN"}),
            ("amount", {"amount": "0.0000000000001"}),
            ("key", {"key": ""}),
            ("key", {"key": "k" * 201}),
            ("key", {"key": "a\0b"}),
            ("key", {"key": "hold:1"}),
            ("policy", {"policy": "some"}),
            ("usage_ref", {"usage_ref": "u" * 201}),
            ("feature", {"feature": "\ud800"}),
            ("used_at", {"used_at": AT + HOUR}),
        ],
    )
    def test_what_is_not_a_draw(self, field: str, terms: dict[str, Any]) -> None:
        with pytest.raises(InvalidDraw) as caught:
            draw(terms.pop("key", "k"), terms.pop("amount", "1"), **terms)
        assert caught.value.details["field"] == field
        assert not CreditDraw.objects.exists()


@pytest.mark.django_db
class TestKeys:
    def test_the_same_key_gets_the_same_answer_and_draws_once(self) -> None:
        give("p", "20")
        first = draw("k", "5", usage_ref="e", feature="f")
        again = draw("k", "5", usage_ref="e", feature="f", at=AT + HOUR)
        assert again.replayed
        assert not first.replayed
        assert (again.id, again.outcome, again.allocations) == (first.id, first.outcome, first.allocations)
        assert balances.of(customer_key="cus-1", unit="USD").promotional_credits == 15

    def test_a_refusal_is_remembered_with_what_was_missing(self) -> None:
        give("p", "20")
        refused = draw("k", "30")
        give("q", "50")
        again = draw("k", "30")
        assert (again.id, again.outcome, again.shortfall) == (refused.id, "refused", 10)

    @pytest.mark.parametrize(
        ("differs", "other"),
        [
            ("amount", {"amount": "6"}),
            ("feature", {"feature": "x"}),
            ("usage_ref", {"usage_ref": "x"}),
            ("policy", {"policy": "partial"}),
            ("used_at", {"used_at": AT - HOUR}),
        ],
    )
    def test_other_content_under_a_key_is_told_what_differs(self, differs: str, other: dict[str, Any]) -> None:
        give("p", "20", at=AT - 2 * HOUR)
        draw("k", "5")
        with pytest.raises(drawing.KeyTaken) as caught:
            draw("k", other.pop("amount", "5"), **other)
        assert caught.value.details["differs"] == [differs]

    def test_one_key_twice_in_a_batch_is_one_draw(self) -> None:
        give("p", "20")
        one, two, three = drawing.draw_many(
            orders=[order("k", "5"), order("k", "5"), order("k", "6")], at=AT, actor=ROBOT
        )
        assert isinstance(one, drawing.Drawn)
        assert isinstance(two, drawing.Drawn)
        assert (one.id, two.replayed) == (two.id, True)
        assert isinstance(three, drawing.KeyTaken)

    def test_a_key_belongs_to_its_wallet(self) -> None:
        give("p", "20")
        give("q", "20", customer="cus-2")
        assert draw("k", "5").id != draw("k", "7", customer_key="cus-2").id


@pytest.mark.django_db
class TestBatches:
    def test_a_batch_of_one_wallet_is_one_entry_summed_by_grant(self) -> None:
        given, paid = give("p", "5"), give("g", "100", kind="paid")
        answers = drawing.draw_many(orders=[order(f"k{n}", "2") for n in range(4)], at=AT, actor=ROBOT)
        assert {answer.entry_id for answer in answers if isinstance(answer, drawing.Drawn)} == {
            Entry.objects.get(event_type="credit.drawn").pk
        }
        entry = Entry.objects.get(event_type="credit.drawn")
        taken = {line.account_id: line.amount for line in Line.objects.filter(entry=entry, account__for_grant=True)}
        assert taken == {given.account_id: D(5), paid.account_id: D(3)}
        assert entry.metadata == {"draws": 4}
        assert proofs.violations() == []

    def test_several_customers_and_each_its_own_answer(self) -> None:
        give("p", "3")
        give("q", "3", customer="cus-2")
        orders = [
            order("a", "2"),
            order("b", "2", "cus-2"),
            order("c", "2"),
            order("d", "-1"),
            order("e", "1", "cus-2"),
        ]
        answers = drawing.draw_many(orders=orders, at=AT, actor=ROBOT)
        said = [answer.outcome if isinstance(answer, drawing.Drawn) else answer.code for answer in answers]
        assert said == ["accepted", "accepted", "refused", "credit.draw_invalid", "accepted"]
        assert Entry.objects.filter(event_type="credit.drawn").count() == 2

    def test_who_may_not_hold_credit_harms_only_himself(self, settings: Any) -> None:
        give("p", "3")
        settings.CREDIT_HOLDER_CHECK = "tests.ledger.test_drawing.nobody_else"
        known, unknown = drawing.draw_many(orders=[order("a", "1"), order("b", "1", "cus-9")], at=AT, actor=ROBOT)
        assert isinstance(known, drawing.Drawn)
        assert isinstance(unknown, BillingError)
        assert unknown.code == "not_found"

    def test_what_the_database_refuses_harms_only_itself(self) -> None:
        registering.register(code="crumbs", at=AT, actor=ROBOT)
        registering.set_rate(
            unit="crumbs", currency="USD", rate=D("0.000000000001"), valid_from=AT, reason="price", at=AT, actor=ROBOT
        )
        orders = [Order("cus-1", "crumbs", D(amount), f"k{amount}", policy="overage") for amount in ("1", "0.1", "2")]
        one, nothing, two = drawing.draw_many(orders=orders, at=AT, actor=ROBOT)
        assert isinstance(one, drawing.Drawn)
        assert isinstance(two, drawing.Drawn)
        assert isinstance(nothing, drawing.DrawRefused)  # what is worth nothing is not owed
        assert nothing.details["rule"] == "ledger_draw_overage"

    def test_it_posts_in_the_callers_transaction(self) -> None:
        give("p", "30")

        def give_up() -> None:
            with transaction.atomic():
                assert draw("k", "5").outcome == "accepted"
                raise LookupError

        with pytest.raises(LookupError):
            give_up()
        assert not CreditDraw.objects.exists()
        assert draw("k", "7").outcome == "accepted"

    def test_a_batch_asks_as_many_questions_as_one_draw(self, django_assert_max_num_queries: Any) -> None:
        give("p", "3000")
        draw("warm", "1")
        with django_assert_max_num_queries(9):
            drawing.draw_many(orders=[order(f"k{n}", "1") for n in range(500)], at=AT, actor=ROBOT)


def nobody_else(*, customer_key: str, unit: str) -> None:
    from billing_ops.kit.errors import NotFound

    raise NotFound(f"There is no customer {customer_key}.")


@pytest.mark.django_db
class TestLateUses:
    def test_only_credit_in_force_when_it_was_used(self) -> None:
        give("old", "20", at=AT - 5 * HOUR, expires_at=AT - 2 * HOUR)
        new = give("new", "20", at=AT - HOUR)
        assert draw("a", "5", used_at=AT - HOUR).allocations == [(str(new.public_id), D(5))]
        assert draw("b", "1", used_at=AT - 2 * HOUR).outcome == "refused"  # half-open, and the new one had not begun
        assert draw("c", "1", used_at=AT - 3 * HOUR).outcome == "accepted"

    def test_breakage_that_was_booked_is_reversed_first_and_the_rest_expires_again(self) -> None:
        old = give("old", "20", at=AT - 50 * HOUR, expires_at=AT - 30 * HOUR, kind="paid")
        voiding.expire(grant=old, at=AT, actor=ROBOT)
        assert balances.of(customer_key="cus-1", unit="USD").paid_credits == 0
        made = draw("k", "5", used_at=AT - 40 * HOUR)
        assert made.allocations == [(str(old.public_id), D(5))]
        assert Entry.objects.filter(event_type="entry.reversed").count() == 1
        again = voiding.expire(grant=old, at=AT, actor=ROBOT)
        assert again is not None
        found: Any = balances.with_balances([old], at=AT)[0]
        assert (found.remaining, found.used, found.expired, found.voided) == (0, 5, 15, 0)
        assert draw("k", "5", used_at=AT - 40 * HOUR).id == made.id
        assert proofs.violations() == []

    def test_breakage_stays_that_no_late_use_was_in_time_for(self) -> None:
        old = give("old", "20", at=AT - 50 * HOUR, expires_at=AT - 30 * HOUR, scope=["images"])
        voiding.expire(grant=old, at=AT, actor=ROBOT)
        assert draw("a", "5", used_at=AT - 30 * HOUR, feature="images").outcome == "refused"
        assert draw("b", "5", used_at=AT - 40 * HOUR, feature="text").outcome == "refused"
        assert not Entry.objects.filter(event_type="entry.reversed").exists()

    def test_uses_of_other_days_are_dated_to_them(self) -> None:
        give("p", "20", at=AT - 100 * HOUR)
        answers = drawing.draw_many(
            orders=[order("a", "1"), order("b", "1", used_at=AT - 48 * HOUR), order("c", "1", used_at=AT - 49 * HOUR)],
            at=AT,
            actor=ROBOT,
        )
        assert all(isinstance(answer, drawing.Drawn) for answer in answers)
        days = [
            str(day) for day in Entry.objects.filter(event_type="credit.drawn").values_list("effective_on", flat=True)
        ]
        assert sorted(days) == ["2025-03-02", "2025-03-04"]


@pytest.mark.django_db
class TestWhereItWent:
    def test_by_customer_by_grant_and_by_usage_page_by_page(self) -> None:
        grant = give("p", "20")
        give("q", "20", kind="paid")
        made = [draw(f"k{n}", "6", usage_ref=f"evt-{n % 2}").id for n in range(5)]
        first = draws.page(customer_key="cus-1", limit=3)
        assert [row.draw.pk for row in first.items] == made[:1:-1]
        rest = draws.page(customer_key="cus-1", limit=3, after=first.next_after)
        assert [row.draw.pk for row in rest.items] == made[1::-1]
        assert rest.next_after is None
        assert [row.draw.pk for row in draws.page(usage_ref="evt-1").items] == [made[3], made[1]]
        from_grant = draws.page(grant=grant.public_id)
        assert [row.draw.pk for row in from_grant.items] == made[3::-1]
        assert (
            sum(amount for row in from_grant.items for name, amount in row.allocations if name == str(grant.public_id))
            == 20
        )
        with pytest.raises(draws.DrawNotFound):
            draws.get(draw_id=10**9)

    def test_what_is_available_depends_on_the_feature(self, settings: Any) -> None:
        give("p", "20", scope=["images"])
        give("q", "5")
        give("later", "7", effective_at=AT + HOUR)
        images: Any = draws.available(customer_key="cus-1", feature="images", at=AT)[0]
        text: Any = draws.available(customer_key="cus-1", feature="text", at=AT)[0]
        assert (images.available, text.available) == (25, 5)
        settings.CREDIT_UNBILLED_USAGE = "tests.ledger.test_drawing.two_not_drawn"
        (text,) = draws.available(customer_key="cus-1", feature="text", at=AT)
        assert (text.settled, text.unbilled, text.available) == (5, 2, 3)


def two_not_drawn(**_: Any) -> Decimal:
    return D(2)


_purses = st.builds(
    Purse,
    grant_id=st.integers(1, 10**6),
    kind=st.sampled_from(["paid", "promotional"]),
    priority=st.integers(0, 3),
    effective_at=st.sampled_from([AT - 2 * HOUR, AT - HOUR, AT]),
    expires_at=st.sampled_from([None, AT, AT + HOUR]),
    scope=st.sampled_from([(), ("a",), ("a", "b")]),
    available=st.decimals(0, 50, places=2),
)


@examples(max_examples=300)
@for_all(
    st.lists(_purses, max_size=6, unique_by=lambda purse: purse.grant_id),
    st.lists(st.tuples(st.decimals("0.01", 20, places=2), st.sampled_from(["", "a", "b"])), max_size=12),
    st.integers(0, 12),
)
def test_burn_down_in_one_run_equals_the_same_in_slices(
    purses: list[Purse], asked: list[tuple[Decimal, str]], cut: int
) -> None:
    from dataclasses import replace

    needs = [Need(str(number), feature, amount) for number, (amount, feature) in enumerate(asked)]
    whole = burn(needs, purses, at=AT)
    first = burn(needs[:cut], purses, at=AT)
    spent: dict[int, Decimal] = {}
    for taken in first:
        spent[taken.grant_id] = spent.get(taken.grant_id, D(0)) + taken.amount
    left = [replace(purse, available=purse.available - spent.get(purse.grant_id, D(0))) for purse in purses]
    assert first + burn(needs[cut:], left, at=AT) == whole
    # and a need in small parts takes from the same grants, in the same sums
    pence = [
        Need(f"{need.ref}/{half}", need.feature, part)
        for need in needs
        for half, part in enumerate((need.amount / 2,) * 2)
    ]
    sums: dict[tuple[str, int], Decimal] = {}
    for taken in burn(pence, purses, at=AT):
        name = (taken.ref.partition("/")[0], taken.grant_id)
        sums[name] = sums.get(name, D(0)) + taken.amount
    assert sums == {(taken.ref, taken.grant_id): taken.amount for taken in whole}


@for_all(st.lists(_purses, max_size=5, unique_by=lambda purse: purse.grant_id), st.decimals("0.01", 90, places=2))
def test_all_or_nothing_takes_all_or_nothing(purses: list[Purse], amount: Decimal) -> None:
    burning = Burning(purses)
    parts, short = burning.take(amount, feature="a", used_at=AT, whole=True)
    assert sum(part for _, part in parts) == (0 if short else amount)
    if short:
        assert sum(part for _, part in burning.take(amount, feature="a", used_at=AT)[0]) == amount - short


@pytest.mark.django_db
@pytest.mark.parametrize("size", [1, 7, 40])
def test_the_books_after_slices_are_those_after_one_run(size: int) -> None:
    for number, (amount, terms) in enumerate(
        [("7", {"priority": 10}), ("11", {"scope": ["a"]}), ("13", {"expires_at": AT + HOUR}), ("50", {"kind": "paid"})]
    ):
        give(f"g{number}", amount, **terms)  # type: ignore[arg-type]
    orders = [
        order(f"k{n}", f"{n % 5}.{n % 7 + 1}", feature="ab"[n % 2], policy=("all", "partial", "overage")[n % 3])
        for n in range(40)
    ]
    outcomes = []
    for start in range(0, len(orders), size):
        outcomes += drawing.draw_many(orders=orders[start : start + size], at=AT, actor=ROBOT)
    said = [(a.outcome, a.drawn, a.shortfall, a.overage) for a in outcomes if isinstance(a, drawing.Drawn)]
    left = sql(
        "SELECT g.idempotency_key, b.credits - b.debits FROM ledger_credit_grant g"
        " JOIN ledger_balance b USING (account_id) ORDER BY 1"
    )
    assert (said, left) == _reference(said, left)
    assert proofs.violations() == []


_first: list[Any] = []


def _reference(said: Any, left: Any) -> Any:
    """What the first of the parametrised runs found: the others must find the same."""
    if not _first:
        _first.extend([said, left])
    return tuple(_first)

"""Totals from roll-ups and tail equal a plain fold over the lines, whatever is asked and whenever it was rolled up."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import balances, rolling_up
from ledger.models import Account
from tests.ledger.books import account, period
from tests.support.database import Database

MIDNIGHT = datetime(2025, 3, 10, tzinfo=UTC)
instants = st.builds(
    lambda days, hours: MIDNIGHT + timedelta(days=days, hours=hours),
    st.integers(0, 3),
    st.sampled_from((0, 0, 7, 12, 23)),
)
bounds = st.one_of(st.none(), instants)


@dataclass(frozen=True)
class Fact:
    """An entry of two lines: which customer used how much, when, and when it was written."""

    customer: int
    amount: Decimal
    effective: datetime
    recorded: datetime


facts = st.builds(
    Fact,
    st.integers(0, 1),
    st.integers(-(10**13), 10**13).filter(bool).map(lambda units: Decimal(units).scaleb(-12)),
    instants,
    instants,
)


class Journal:
    """The facts in the books, written by the owner with the triggers off, so that they can bear any instant."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.unbilled = [account("1110", customer=f"cus-{number}") for number in range(2)]
        self.revenue = account("4000")
        self.period = period().pk
        self.facts: list[Fact] = []

    def write(self, facts: list[Fact]) -> None:
        with self.database.connect(role="admin") as admin:
            admin.execute("SET session_replication_role = replica")
            for fact in facts:
                row = admin.execute(
                    "INSERT INTO ledger_entry (public_id, book_id, source, idempotency_key, event_type, effective_at,"
                    " effective_on, recorded_at, created_xid, period_id, line_count, customer_key, invoice_ref,"
                    " grant_ref, stripe_ref, batch_ref, actor_type, actor_id, reason_code, reason_note, ticket,"
                    " metadata) SELECT %s, id, 'test', %s, 'usage.accrued', %s, %s, %s, pg_current_xact_id(), %s, 2,"
                    " '', '', '', '', '', 'system', 'test', '', '', '', '{}' FROM ledger_book RETURNING id",
                    [uuid4(), uuid4().hex, fact.effective, fact.effective.date(), fact.recorded, self.period],
                ).fetchone()
                assert row is not None
                side = 1 if fact.amount > 0 else -1
                for number, (one, way) in enumerate(((self.unbilled[fact.customer], side), (self.revenue, -side)), 1):
                    admin.execute(
                        "INSERT INTO ledger_line (entry_id, line_no, account_id, unit, side, amount, effective_on)"
                        " VALUES (%s, %s, %s, 'USD', %s, %s, %s)",
                        [row[0], number, one.pk, way, abs(fact.amount), fact.effective.date()],
                    )
        self.facts += facts

    def fold(self, since: date | None, until: datetime | None, known: datetime | None) -> dict[str, list[Decimal]]:
        """By code and by customer: debits, credits, lines; computed here on its own."""
        sums: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0), Decimal(0)])
        for fact in self.facts:
            if (
                (since is None or fact.effective.date() >= since)
                and (until is None or fact.effective < until)
                and (known is None or fact.recorded < known)
            ):
                up = fact.amount > 0
                for name, debit in (("1110", up), ("4000", not up), (f"cus-{fact.customer}", up)):
                    sums[name][0 if debit else 1] += abs(fact.amount)
                    sums[name][2] += 1
        return sums


def test_totals_equal_a_plain_fold(fresh_db: Database) -> None:
    journal = Journal(fresh_db)

    @settings(max_examples=120, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(facts, max_size=4),
        st.integers(0, 3),
        st.lists(st.tuples(bounds, bounds, st.one_of(st.none(), instants)), min_size=1, max_size=4),
    )
    def compare(
        more: list[Fact], steps: int, asked: list[tuple[datetime | None, datetime | None, datetime | None]]
    ) -> None:
        journal.write(more)
        if steps:
            rolling_up.roll_up(step=1, steps=steps)
        for until, known, begin in asked:
            since = None if begin is None else begin.date()
            expected = journal.fold(since, until, known)
            found = {
                line.code: [line.debits, line.credits, line.lines]
                for line in balances.trial_balance(unit="USD", until=until, known=known, since=since)
            }
            assert found == {code: sums for code, sums in expected.items() if not code.startswith("cus")}
            each = balances.sums_of(accounts=[one.pk for one in journal.unbilled], until=until, known=known)
            expected = journal.fold(None, until, known)
            for one in journal.unbilled:
                sums = each[one.pk]
                assert [sums.debits, sums.credits, sums.lines] == expected[one.customer_key]

    compare()
    assert Account.objects.count() == 3
    assert len(journal.facts) > 20

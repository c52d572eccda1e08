"""What a story of several journals is made of, and the trial balance after each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from billing_ops.kit.money import plain
from ledger.rules import movements, routes
from ledger.rules.chart import BY_CODE
from ledger.rules.entries import LineSpec
from tests.ledger.journals.case import USD, C, Case, D


@dataclass(frozen=True)
class Story:
    """Journals in the order of time, and what they tell together."""

    title: str
    cases: Sequence[Case]

    def as_text(self) -> str:
        told = "\n".join(f"{number}. {case.as_text()}" for number, case in enumerate(self.cases, 1))
        return f"{self.title}\n\n{told}\n{self.trial_balance()}"

    def nets(self) -> list[dict[tuple[str, str], Decimal]]:
        """Debits less credits by (unit, code) after each journal."""
        after: list[dict[tuple[str, str], Decimal]] = []
        for case in self.cases:
            now = dict(after[-1]) if after else {}
            for line in case.lines:
                now[line.unit, line.code] = now.get((line.unit, line.code), D("0")) + line.sign * line.amount
            after.append(now)
        return after

    def trial_balance(self) -> str:
        nets = self.nets()
        rows = [["Trial balance after journal", *map(str, range(1, len(nets) + 1))]]
        for unit in sorted({unit for unit, _ in nets[-1]}):
            for code in sorted(code for of, code in nets[-1] if of == unit):
                rows.append([f"{code} {BY_CODE[code].name}, {unit}", *(_cell(now.get((unit, code))) for now in nets)])
            totals = [sum((net for (of, _), net in now.items() if of == unit), D("0")) for now in nets]
            rows.append([f"Total, {unit}", *(_cell(total) for total in totals)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        shown = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
        rule = "-" * max(map(len, shown))
        return "\n".join(["Debits are positive, credits negative.", "", shown[0], rule, *shown[1:]]) + "\n"


def _cell(net: Decimal | None) -> str:
    return "" if net is None else plain(net) if net else "0"


def on(month: int, day: int) -> datetime:
    return datetime(2025, month, day, 12, tzinfo=UTC)


def entry(  # noqa: PLR0917  # reads as a line of a diary
    movement: str, row: str, at: datetime, words: str, lines: Sequence[LineSpec], rate: str | None = None
) -> Case:
    return Case(movement, row, words, lines, None if rate is None else D(rate), at)


def paid(at: datetime, amount: str, words: str, row: str = "14") -> Case:
    return entry(routes.PAYMENT_SUCCEEDED, row, at, words, movements.payment_succeeded(**USD, amount=D(amount)))


def earned(at: datetime, amount: str, words: str) -> Case:
    lines = movements.fee_recognised(customer_key=C, unit="USD", amount=D(amount))
    return entry(routes.FEE_RECOGNISED, "24", at, words, lines)


def invoiced(  # noqa: PLR0917
    row: str, at: datetime, words: str, due: str, deferred: str, tax: str = "0", balance: str = "0"
) -> Case:
    lines = movements.invoice_finalized(
        **USD, receivable=D(due), deferred=D(deferred), tax={"DE": D(tax)}, balance_used=D(balance)
    )
    return entry(routes.INVOICE_FINALIZED, row, at, words, lines)

"""Where credit went, and what paid for what: draws by customer, by grant, by usage; what is available for a feature."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils.module_loading import import_string

from billing_ops.kit.errors import NotFound
from ledger import drawn
from ledger.models import CreditDraw, CreditReturn, CreditWallet
from ledger.queries import statement


class DrawNotFound(NotFound):
    """No draw has that id."""

    code = "credit.draw_not_found"


@dataclass(frozen=True, slots=True)
class DrawRow:
    """A draw, the grants it took from (public id, amount) and what was given back of it."""

    draw: CreditDraw
    allocations: list[tuple[str, Decimal]]
    returned: Decimal


@dataclass(frozen=True, slots=True)
class DrawPage:
    """Draws, newest first; ``next_after`` is the last id if there are more."""

    items: list[DrawRow]
    next_after: int | None


@dataclass(frozen=True, slots=True)
class Available:
    """Credit that may pay for a feature at an instant: what is there, what open holds keep of it, and what was used and
    is not drawn yet, as the layer above says."""

    unit: str
    settled: Decimal
    held: Decimal
    unbilled: Decimal = Decimal(0)

    @property
    def available(self) -> Decimal:
        """What is left for what comes; negative where more was used than there is."""
        return self.settled - self.held - self.unbilled


def page(
    *,
    customer_key: str | None = None,
    unit: str | None = None,
    grant: Any = None,
    usage_ref: str | None = None,
    after: int | None = None,
    limit: int = 50,
) -> DrawPage:
    """Draws of a customer, from a grant (public id) or for a use, newest first; ``after`` is the last id before.

    A customer's are those outside of invoices; a grant's are all.
    """
    rows = CreditDraw.objects.select_related("wallet").order_by("-id")
    if customer_key is not None:
        wallets = CreditWallet.objects.filter(customer_key=customer_key)
        if unit is not None:
            wallets = wallets.filter(unit=unit)
        rows = rows.filter(wallet__in=list(wallets.values_list("pk", flat=True)))
        if grant is None and usage_ref is None:
            rows = rows.exclude(policy="")
    if grant is not None:
        rows = rows.filter(creditdrawallocation__grant__public_id=grant).order_by("-creditdrawallocation__draw_id")
    if usage_ref is not None:
        rows = rows.filter(usage_ref=usage_ref).exclude(usage_ref="")
    if after is not None:
        rows = rows.filter(pk__lt=after)
    found = list(rows[: limit + 1])
    return DrawPage(rows_of(found[:limit]), found[limit - 1].pk if len(found) > limit else None)


def get(*, draw_id: int) -> DrawRow:
    """One draw. Raises :class:`DrawNotFound`."""
    found = CreditDraw.objects.select_related("wallet").filter(pk=draw_id).first()
    if found is None:
        raise DrawNotFound(f"There is no draw {draw_id}.")
    return rows_of([found])[0]


def rows_of(draws: Sequence[CreditDraw]) -> list[DrawRow]:
    """Those draws with where they took from and what was given back, in the same order; two questions for all."""
    ids = [draw.pk for draw in draws]
    parts = drawn.allocations(ids)
    returned: dict[int, Decimal] = {}
    for draw_id, amount in CreditReturn.objects.filter(draw__in=ids).values_list("draw_id", "amount"):
        returned[draw_id] = returned.get(draw_id, Decimal(0)) + amount
    return [DrawRow(draw, parts.get(draw.pk, []), returned.get(draw.pk, Decimal(0))) for draw in draws]


def available(*, customer_key: str, feature: str, at: datetime, unit: str | None = None) -> list[Available]:
    """What a customer's credit could pay of a feature at ``at``, by unit; units without such credit are left out.

    What was used and is not drawn yet the ledger does not know: ``CREDIT_UNBILLED_USAGE`` names the function that says
    it, as ``unbilled(customer_key=, feature=, unit=, at=) -> Decimal``. Empty: everything used is drawn at once.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            statement("available_credit"), {"customer": customer_key, "feature": feature, "at": at, "unit": unit}
        )
        rows = [Available(*row) for row in cursor.fetchall()]
    if not settings.CREDIT_UNBILLED_USAGE:
        return rows
    unbilled = import_string(settings.CREDIT_UNBILLED_USAGE)
    return [
        replace(row, unbilled=unbilled(customer_key=customer_key, feature=feature, unit=row.unit, at=at))
        for row in rows
    ]

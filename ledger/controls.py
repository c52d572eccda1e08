"""Sub-ledgers beside their control totals: what customers' accounts store, and what the lines add up to."""

from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Count, F, Sum

from ledger import balances
from ledger.models import Balance
from ledger.queries import snapshot
from ledger.rules.chart import BY_CODE


@dataclass(frozen=True, slots=True)
class ControlTotal:
    """One code whose accounts store a balance, on its normal side."""

    code: str
    name: str
    accounts: int
    stored: Decimal
    """The sum of the accounts' stored balances."""
    control: Decimal
    """What roll-ups and tail say of the code."""

    @property
    def difference(self) -> Decimal:
        """Zero, unless the books are wrong."""
        return self.stored - self.control


def control_totals(*, unit: str) -> list[ControlTotal]:
    """Every code of which customers have accounts in that unit, in one snapshot: the differences are all zero."""
    with snapshot():
        lines = {line.code: line.net for line in balances.trial_balance(unit=unit)}
        stored = dict[str, tuple[int, Decimal]]()
        rows = Balance.objects.filter(account__unit=unit).values_list("account__code")
        for code, accounts, net in rows.annotate(accounts=Count("pk"), total=Sum(F("debits") - F("credits"))):
            stored[code] = (accounts, net)
    found = []
    for code in sorted(stored.keys() | {code for code in lines if BY_CODE[code].materialised}):
        side = BY_CODE[code].normal_side
        accounts, net = stored.get(code, (0, Decimal(0)))
        control = lines.get(code, Decimal(0))
        found.append(ControlTotal(code, BY_CODE[code].name, accounts, side * net, side * control))
    return found

"""The books, the accounts, the journal and the credits."""

from ledger.models.accounts import Account, Balance
from ledger.models.books import AccountCode, Book, EventType, Period, Unit
from ledger.models.credits import CreditDraw, CreditDrawAllocation, CreditGrant, CreditWallet
from ledger.models.holds import Hold, HoldAllocation, HoldResolution, OpenHold
from ledger.models.journal import Entry, Line
from ledger.models.limits import CreditLimit, LimitUse
from ledger.models.periods import PeriodChange
from ledger.models.returns import CreditReturn, CreditReturnAllocation
from ledger.models.rollups import AccountDay, CodeDay, RollupState
from ledger.models.schedules import CreditSchedule
from ledger.models.seals import Seal
from ledger.models.units import UnitRate

__all__ = [
    "Account",
    "AccountCode",
    "AccountDay",
    "Balance",
    "Book",
    "CodeDay",
    "CreditDraw",
    "CreditDrawAllocation",
    "CreditGrant",
    "CreditLimit",
    "CreditReturn",
    "CreditReturnAllocation",
    "CreditSchedule",
    "CreditWallet",
    "Entry",
    "EventType",
    "Hold",
    "HoldAllocation",
    "HoldResolution",
    "LimitUse",
    "Line",
    "OpenHold",
    "Period",
    "PeriodChange",
    "RollupState",
    "Seal",
    "Unit",
    "UnitRate",
]

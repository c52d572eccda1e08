"""The books, the accounts, the journal and the credits."""

from ledger.models.accounts import Account, Balance
from ledger.models.books import AccountCode, Book, EventType, Period, Unit
from ledger.models.credits import CreditDraw, CreditDrawAllocation, CreditGrant, CreditWallet
from ledger.models.journal import Entry, Line

__all__ = [
    "Account",
    "AccountCode",
    "Balance",
    "Book",
    "CreditDraw",
    "CreditDrawAllocation",
    "CreditGrant",
    "CreditWallet",
    "Entry",
    "EventType",
    "Line",
    "Period",
    "Unit",
]

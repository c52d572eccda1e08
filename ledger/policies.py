"""The company's accounting policies, read at the edges and passed on: the books hold whichever was in force then."""

from datetime import datetime
from typing import cast

from django.conf import settings
from django.utils.module_loading import import_string

from ledger.rules.worth import Breakage, PromoPolicy


def promo() -> PromoPolicy:
    """``CREDIT_PROMO_POLICY``: promotional credit is a discount to come, or an expense when it is given."""
    return cast(PromoPolicy, settings.CREDIT_PROMO_POLICY)


def breakage() -> Breakage:
    """``CREDIT_BREAKAGE``: what paid credit that expires becomes."""
    return cast(Breakage, settings.CREDIT_BREAKAGE)


def watermark() -> datetime | None:
    """Up to when usage is known to be counted: the answer of ``CREDIT_EXPIRY_WATERMARK``; None asks nobody."""
    if not settings.CREDIT_EXPIRY_WATERMARK:
        return None
    found: datetime | None = import_string(settings.CREDIT_EXPIRY_WATERMARK)()
    return found

"""Register a company's own units of credit and set what they are worth."""

import re
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.db import IntegrityError, transaction

from billing_ops.kit import audit
from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import Conflict, InvalidInput
from billing_ops.kit.money import LEDGER_SCALE, plain
from billing_ops.kit.money import currency as known_currency
from ledger import opening
from ledger.models import Unit, UnitRate
from ledger.rules.entries import MAX_AMOUNT, too_fine

_CODE: Final = re.compile(r"[a-z][a-z0-9_]{1,23}", re.ASCII)


class BadUnit(InvalidInput):
    """A unit or a rate that cannot be set as asked; ``details["field"]`` names what is wrong."""

    code = "unit.invalid"


class RateSet(Conflict):
    """The unit has another rate from that instant already."""

    code = "unit.rate_set"
    remedy = "Rates never change: set another from a later instant."


def register(*, code: str, actor: Actor, at: datetime, decimals: int = LEDGER_SCALE) -> Unit:
    """Register a unit of the company's own, e.g. ``credits``; the same again returns it. Raises :class:`BadUnit`.

    ``decimals`` are those of the accounts that hold whole smallest parts; quantities of grants are exact.
    """
    if not _CODE.fullmatch(code):
        raise BadUnit(
            f"“{code[:40]}” is no code of a unit: 2 to 24 small letters, digits and underscores, a letter first.",
            field="unit",
        )
    if not 0 <= decimals <= LEDGER_SCALE:
        raise BadUnit(f"A unit has 0 to {LEDGER_SCALE} decimals.", field="decimals")
    with transaction.atomic():
        unit, made = Unit.objects.get_or_create(code=code, defaults={"kind": "credit", "posting_scale": decimals})
        if unit.posting_scale != decimals:
            raise BadUnit(f"{code} is registered with {unit.posting_scale} decimals.", field="decimals")
        if made:
            audit.record(
                at=at, actor=actor, action="unit.registered", subject_type="unit", subject_key=code,
                summary=f"Unit {code} registered",
            )  # fmt: skip
    return unit


def set_rate(
    *,
    unit: str,
    currency: str,
    rate: Decimal,
    reason: str,
    actor: Actor,
    at: datetime,
    valid_from: datetime | None = None,
) -> UnitRate:
    """Set what a unit is worth from ``valid_from`` (default now) on; grants that were made keep their own rate.

    The same again returns the row that is there. Raises :class:`BadUnit` and :class:`RateSet`.
    """
    starts = valid_from or at
    known_currency(currency)
    if not Unit.objects.filter(pk=unit, kind="credit").exists():
        raise BadUnit(f"There is no unit “{unit[:40]}” of the company's own.", field="unit")
    if not rate.is_finite() or not 0 < rate < MAX_AMOUNT or too_fine(rate):
        raise BadUnit("A rate is a positive number of at most twelve decimals.", field="rate")
    if not reason.strip():
        raise BadUnit("Say why the rate is set.", field="reason")
    if starts < at:
        raise BadUnit("A rate cannot begin in the past.", field="valid_from")
    with transaction.atomic():
        opening.register_units({currency})
        found = UnitRate.objects.filter(unit=unit, currency=currency, valid_from=starts).first()
        if found is None:
            wanted = UnitRate(
                unit_id=unit, currency=currency, rate=rate, valid_from=starts, set_at=at, set_by_type=actor.type,
                set_by_id=actor.id, reason=reason,
            )  # fmt: skip
            found = _made(wanted, actor)
    if found.rate != rate:
        raise RateSet(f"From then on {unit} is worth {plain(found.rate)} {currency}.")
    return found


def _made(wanted: UnitRate, actor: Actor) -> UnitRate:
    said = f"1 {wanted.unit_id} = {plain(wanted.rate)} {wanted.currency} from {wanted.valid_from:%Y-%m-%d %H:%M} UTC"
    try:
        with transaction.atomic():
            wanted.save(force_insert=True)
            audit.record(
                at=wanted.set_at, actor=actor, action="unit.rate_set", subject_type="unit", subject_key=wanted.unit_id,
                summary=said, note=wanted.reason,
            )  # fmt: skip
            return wanted
    except IntegrityError:  # somebody set one from the same instant at the same moment
        return UnitRate.objects.get(unit=wanted.unit_id, currency=wanted.currency, valid_from=wanted.valid_from)

"""How the console writes figures, amounts and instants."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django import template
from django.utils.html import format_html
from moneyed import CurrencyDoesNotExist, Money, get_currency

from billing_ops.kit.fields import display
from billing_ops.kit.money import BadCurrency, plain, round_amount

register = template.Library()


@register.filter
def money(value: Money | None) -> str:
    """``$1,234.50``; a dash for nothing."""
    return display(value)


@register.filter
def amount(value: Decimal | None, currency: str) -> str:
    """A decimal in a currency, rounded as it would be paid: ``{{ 12.341273|amount:"USD" }}`` is $12.34.

    In a company's own unit, which is no currency, it is written out.
    """
    if value is None:
        return "—"
    try:
        return display(Money(value, get_currency(currency)))
    except CurrencyDoesNotExist:
        return exact(value, currency)


@register.filter
def exact(value: Decimal | None, currency: str = "") -> str:
    """Every decimal that is there, with thousands separators: ``12.341273 USD``."""
    if value is None:
        return "—"
    sign = "-" if value < 0 else ""
    whole, _, fraction = plain(abs(Decimal(value))).partition(".")
    text = f"{sign}{int(whole):,}{'.' + fraction if fraction else ''}"
    return f"{text} {currency}".strip()


@register.filter
def exact_cents(value: Decimal | None, currency: str) -> str:
    """Like :func:`exact`, but never fewer decimals than the currency is written with."""
    if value is None:
        return "—"
    try:
        paid = round_amount(Decimal(value), currency)
    except BadCurrency:  # a company's own unit
        return exact(value, currency)
    return f"{paid:,} {currency}" if paid == value else exact(value, currency)


@register.filter
def figure(value: Decimal | None, currency: str) -> str:
    """Like :func:`exact_cents` without the currency: for columns whose head names it."""
    return exact_cents(value, currency).removesuffix(f" {currency}")


@register.filter
def utc(value: datetime | None) -> str:
    """An instant with its zone: ``2025-01-31 14:05 UTC``."""
    if value is None:
        return "—"
    there = value.astimezone(UTC)
    return format_html(
        '<time datetime="{}">{} <span class="bo-zone">UTC</span></time>',
        there.isoformat(),
        there.strftime("%Y-%m-%d %H:%M"),
    )


@register.filter
def utc_exact(value: datetime | None) -> str:
    """An instant to the microsecond that it has: ``2025-01-31 14:05:09.25 UTC``."""
    if value is None:
        return "—"
    there = value.astimezone(UTC)
    text = there.strftime("%Y-%m-%d %H:%M:%S")
    if there.microsecond:
        text += f".{there.microsecond:06d}".rstrip("0")
    return format_html('<time datetime="{}">{} <span class="bo-zone">UTC</span></time>', there.isoformat(), text)


@register.filter
def day(value: datetime | None) -> str:
    """The UTC day of an instant."""
    return "—" if value is None else value.astimezone(UTC).strftime("%Y-%m-%d")


@register.filter
def seconds(value: Decimal | float | None) -> str:
    """A length of time for people: ``0 s``, ``42 s``, ``3 min``, ``5 h``, ``2 days``."""
    if value is None:
        return "—"
    total = int(value)
    for size, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if total >= 2 * size:
            return f"{total // size} {name}"
    return f"{total} s"


@register.filter
def get(mapping: Any, key: Any) -> Any:
    """``{{ mapping|get:key }}``; nothing when it is not there."""
    return mapping.get(key) if mapping else None


_SHOWN: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (datetime, utc),
    (bool, lambda value: "Yes" if value else "No"),
    (Money, display),
    ((Decimal, int), lambda value: exact(Decimal(value))),
    ((list, tuple), lambda value: ", ".join(str(one) for one in value) or "—"),
    (dict, lambda value: format_html("<code>{}</code>", json.dumps(value, ensure_ascii=False, default=str))),
)


@register.filter
def shown(value: Any) -> Any:
    """Whatever a column holds, as a person reads it."""
    if value is None or value == "":
        return "—"
    for kinds, write in _SHOWN:
        if isinstance(value, kinds):
            return write(value)
    return value


@register.filter
def still_due(invoice: Any) -> Money:
    """What of an invoice is not paid yet."""
    left: Money = invoice.amount_due - invoice.amount_paid
    return left


@register.filter
def gone(balance: Any) -> Decimal:
    """What of a grant expired or was voided."""
    lost: Decimal = balance.expired + balance.voided
    return lost


@register.filter
def words(code: str) -> str:
    """A code as words: ``service_disruption`` is “service disruption”."""
    return str(code).replace("_", " ")


@register.filter
def negative(value: Money) -> Money:
    """What is taken off, with its sign."""
    return -value


@register.filter
def hour_key(value: datetime) -> str:
    """An hour in an address: ``2025-01-31T14``."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H")


@register.filter
def hour_of_day(value: datetime) -> str:
    """An hour within its day: ``14:00``."""
    return value.astimezone(UTC).strftime("%H:00")


@register.filter
def as_json(value: Any) -> str:
    """JSON on one line, as an event carried it."""
    return json.dumps(value, ensure_ascii=False, default=str)

"""Model fields shared by every app."""

from decimal import Decimal
from typing import Any

from djmoney.models.fields import MoneyField, MoneyFieldProxy
from moneyed import Money


class _SameCurrency(MoneyFieldProxy):  # type: ignore[misc]  # django-money has no types
    """Refuses an assignment that would silently change the row's currency, which all its amounts share."""

    def set_currency(self, obj: Any, value: str) -> None:
        present = obj.__dict__.get(self.currency_field_name)
        if present and present != str(value):
            raise ValueError(f"{self.field.name}: {value} assigned to a row in {present}")
        super().set_currency(obj, value)


def amount_field(**kwargs: Any) -> Any:
    """A money column in minor-unit precision that shares the model's one ``currency`` column.

    Declare ``currency = CurrencyField()`` **before** it. Three decimals hold every ISO 4217 exponent in use.
    """
    kwargs.setdefault("max_digits", 19)
    kwargs.setdefault("decimal_places", 3)
    return MoneyField(
        currency_field_name="currency", default_currency=None, money_descriptor_class=_SameCurrency, **kwargs
    )


def display(value: Money | None) -> str:
    """An amount as a person reads it: ``$1,234.50``, ``-$3.00``, ``¥120``."""
    if value is None:
        return "—"
    from moneyed.l10n import format_money

    from billing_ops.kit.money import round_money

    exact = Decimal(round_money(value).amount)
    return str(format_money(Money(exact, value.currency), locale="en_US"))

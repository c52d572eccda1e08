"""Model fields shared by every app, and how an amount is shown."""

from typing import TYPE_CHECKING, Any

from django.db import models
from djmoney.models.fields import MoneyField, MoneyFieldProxy
from moneyed import Money
from moneyed.l10n import format_money

from billing_ops.kit.money import round_money

if TYPE_CHECKING:
    _MoneyColumn = models.Field[Money, Money]
else:
    _MoneyColumn = MoneyField


class _SameCurrency(MoneyFieldProxy):
    """Refuses an assignment that would silently change the row's currency, which all its amounts share."""

    def set_currency(self, obj: Any, value: str) -> None:
        present = obj.__dict__.get(self.currency_field_name)
        if present and present != str(value):
            raise ValueError(f"{self.field.name}: {value} assigned to a row in {present}")
        super().set_currency(obj, value)  # type: ignore[no-untyped-call]


class AmountField(_MoneyColumn):
    """An amount in the minor units of the row's one ``currency`` column; read as :class:`moneyed.Money`.

    Declare ``currency = models.CharField(max_length=3)`` **before** it. Three decimals hold every ISO 4217 exponent in
    use. Queries see a plain decimal: django-money's manager, which adds currency conditions of its own, is left out.
    """

    _pyi_private_set_type: Money
    _pyi_private_get_type: Money

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 19)
        kwargs.setdefault("decimal_places", 3)
        kwargs["currency_field_name"] = "currency"
        kwargs["default_currency"] = None
        kwargs["money_descriptor_class"] = _SameCurrency
        super().__init__(**kwargs)

    def deconstruct(self) -> Any:
        """Migrations need the column only."""
        name, path, args, kwargs = super().deconstruct()
        for own in ("currency_field_name", "default_currency", "money_descriptor_class"):
            kwargs.pop(own, None)
        return name, path, args, kwargs

    def contribute_to_class(self, cls: Any, name: str, private_only: bool = False) -> None:
        """Join the model without django-money's manager."""
        super().contribute_to_class(cls, name)
        del cls._meta.has_money_field


def display(value: Money | None) -> str:
    """An amount as a person reads it: ``$1,234.50``, ``-$3.00``, ``¥120``; ``—`` when there is none."""
    return "—" if value is None else str(format_money(round_money(value), locale="en_US"))

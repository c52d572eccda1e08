"""What is known of a customer, as a value, and whether it can be used."""

import re
import zoneinfo
from dataclasses import dataclass, fields
from functools import cache

from billing_ops.kit import money
from billing_ops.kit.errors import InvalidInput

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}", re.ASCII)
"""The shape of a customer's and a subscription's key."""

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LENGTHS = {
    "name": 200,
    "email": 254,
    "line1": 200,
    "line2": 200,
    "city": 100,
    "region": 100,
    "postal_code": 32,
    "tax_id": 64,
}


class CustomerInvalid(InvalidInput):
    """Something about a customer that cannot be used; ``details["field"]`` names it."""

    code = "customer.invalid"


@dataclass(frozen=True, slots=True)
class CustomerDetails:
    """Everything about a customer that people may write. Empty text: not known."""

    name: str
    currency: str
    email: str = ""
    time_zone: str = "UTC"
    line1: str = ""
    line2: str = ""
    city: str = ""
    region: str = ""
    postal_code: str = ""
    country: str = ""
    tax_id: str = ""


FIELDS: tuple[str, ...] = tuple(field.name for field in fields(CustomerDetails))
"""The names of everything that may be written."""


def check_key(key: str) -> None:
    """Refuse a customer key that could not stand in a URL or as the subject of usage."""
    if not KEY.fullmatch(key):
        raise CustomerInvalid(
            f"“{key[:40]}” cannot be a customer's key.",
            remedy="Use letters, digits and . _ : @ -, beginning with a letter or digit, at most 128 characters.",
            field="key",
        )


def check_details(details: CustomerDetails) -> None:
    """Refuse details that cannot be used, naming the field; a currency that is not one raises ``BadCurrency``."""
    for field, length in _LENGTHS.items():
        text: str = getattr(details, field)
        if len(text) > length:
            raise CustomerInvalid(f"{field}: it is longer than {length} characters.", field=field)
        if _CONTROL.search(text):
            raise CustomerInvalid(f"{field}: it holds a control character.", field=field)
    if not details.name.strip():
        raise CustomerInvalid("A customer needs a name.", field="name")
    if details.email and not _EMAIL.fullmatch(details.email):
        raise CustomerInvalid(f"“{details.email[:80]}” is not an e-mail address.", field="email")
    if details.country and not _COUNTRY.fullmatch(details.country):
        raise CustomerInvalid(
            f"“{details.country[:10]}” is not a country code.",
            remedy="Use two letters of ISO 3166-1, such as US.",
            field="country",
        )
    if details.time_zone not in _zones():
        raise CustomerInvalid(
            f"“{details.time_zone[:64]}” is not a time zone.",
            remedy="Use an IANA name such as Europe/Berlin.",
            field="time_zone",
        )
    _check_currency(details.currency)


def _check_currency(code: str) -> None:
    """A currency that somebody pays in today: no precious metal, test code, fund or currency of the past."""
    found = money.currency(code)
    if not found.countries or (code.startswith("X") and code not in ("XAF", "XCD", "XOF", "XPF")):
        raise CustomerInvalid(f"Nobody can pay in {code}.", remedy="Use a currency such as USD.", field="currency")
    if money.exponent(code) > 3:
        raise CustomerInvalid(f"{code} has more than three decimals, which no amount here keeps.", field="currency")


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones()) - {"localtime", "Factory"}

"""What may be known of a customer."""

from dataclasses import replace

import pytest

from billing_ops.kit.errors import BillingError
from plans.rules.details import CustomerDetails, check_details, check_key

GOOD = CustomerDetails(
    name="Ada’s Engines", currency="USD", email="ada@engines.example", time_zone="Asia/Kathmandu", country="NP"
)


def test_good_details_pass() -> None:
    check_details(GOOD)
    check_details(CustomerDetails(name="Ada", currency="XOF"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", " "),
        ("name", "n" * 201),
        ("name", "a\x00b"),
        ("name", "a\nb"),
        ("email", "ada"),
        ("email", "ada@engines"),
        ("email", "a da@engines.example"),
        ("email", "ada@@engines.example"),
        ("email", f"ada@{'e' * 250}.example"),
        ("time_zone", "Mars/Olympus"),
        ("time_zone", "localtime"),
        ("time_zone", ""),
        ("time_zone", "../../etc/passwd"),
        ("country", "USA"),
        ("country", "us"),
        ("country", "ÜS"),
        ("currency", "usd"),
        ("currency", "XAU"),
        ("currency", "XXX"),
        ("currency", "DEM"),
        ("currency", "CLF"),
        ("postal_code", "1" * 33),
    ],
)
def test_bad_details_are_refused_by_field(field: str, value: str) -> None:
    with pytest.raises(BillingError) as refused:
        check_details(replace(GOOD, **{field: value}))
    assert refused.value.details["field"] == field
    assert refused.value.http_status == 422


@pytest.mark.parametrize("key", ["cus-7", "a", "acme.com:eu@1", "x" * 128])
def test_keys(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize("key", ["", "-cus", "a b", "a/b", "ключ", "x" * 129, "a\n"])
def test_keys_that_cannot_stand_in_a_url_are_refused(key: str) -> None:
    with pytest.raises(BillingError) as refused:
        check_key(key)
    assert refused.value.details["field"] == "key"

"""Customers: created once, changed with a trail, terms fixed by the first subscription."""

from dataclasses import replace

import pytest
from django.db import IntegrityError, connection, transaction
from moneyed import USD, Money

from billing_ops.kit.money import BadCurrency
from billing_ops.models import AuditEntry
from ledger import crediting
from ledger.rules.limits import Authority
from plans import customers, enrolling
from plans.models import Customer
from plans.rules.details import CustomerDetails, CustomerInvalid
from tests.plans import stories
from tests.plans.stories import ACTOR, AT

pytestmark = pytest.mark.django_db

DETAILS = CustomerDetails(name="Ada", currency="USD", email="ada@engines.example", country="GB")


def test_a_customer_is_created_once_and_the_trail_says_who() -> None:
    first = enrolling.enroll(key="cus-1", details=DETAILS, at=AT, actor=ACTOR)
    again = enrolling.enroll(key="cus-1", details=DETAILS, at=AT, actor=ACTOR)
    assert again.pk == first.pk
    assert customers.details_of(Customer.objects.get()) == DETAILS
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.customer_key, entry.actor_id) == ("customer.created", "cus-1", "ada")


def test_the_same_key_with_other_details_names_them() -> None:
    enrolling.enroll(key="cus-1", details=DETAILS, at=AT, actor=ACTOR)
    with pytest.raises(enrolling.CustomerDiffers) as refused:
        enrolling.enroll(key="cus-1", details=replace(DETAILS, name="Bob", country="US"), at=AT, actor=ACTOR)
    assert refused.value.details["differs"] == ["name", "country"]
    assert customers.get("cus-1").name == "Ada"


@pytest.mark.parametrize("bad", [{"email": "ada"}, {"time_zone": "Nowhere"}, {"name": ""}])
def test_what_cannot_be_used_writes_nothing(bad: dict[str, str]) -> None:
    with pytest.raises(CustomerInvalid):
        enrolling.enroll(key="cus-1", details=replace(DETAILS, **bad), at=AT, actor=ACTOR)
    assert not Customer.objects.exists()
    assert not AuditEntry.objects.exists()


def test_changes_are_written_with_before_and_after() -> None:
    who = stories.customer()
    amended = enrolling.amend(customer=who, changes={"name": "Bob", "city": "Bath"}, at=AT, actor=ACTOR)
    assert (amended.name, amended.city) == ("Bob", "Bath")
    entry = AuditEntry.objects.get(action="customer.changed")
    assert entry.changes == {"name": ["Cus-1", "Bob"], "city": ["", "Bath"]}
    enrolling.amend(customer=who, changes={"name": "Bob"}, at=AT, actor=ACTOR)
    assert AuditEntry.objects.filter(action="customer.changed").count() == 1


@pytest.mark.parametrize("field", ["key", "stripe_id", "id", "nonsense"])
def test_other_fields_cannot_be_changed(field: str) -> None:
    with pytest.raises(CustomerInvalid) as refused:
        enrolling.amend(customer=stories.customer(), changes={field: "x"}, at=AT, actor=ACTOR)
    assert refused.value.details["field"] == field


@pytest.mark.parametrize(("field", "value"), [("currency", "EUR"), ("time_zone", "Europe/Berlin")])
def test_currency_and_time_zone_are_fixed_by_a_subscription(field: str, value: str) -> None:
    who = stories.customer()
    if field == "time_zone":  # free until then
        enrolling.amend(customer=who, changes={field: "Asia/Tokyo"}, at=AT, actor=ACTOR)
    stories.subscribed(who, stories.published())
    with pytest.raises(enrolling.CustomerTermsFixed) as refused:
        enrolling.amend(customer=who, changes={field: value, "name": "New"}, at=AT, actor=ACTOR)
    assert refused.value.details["field"] == field
    assert customers.get("cus-1").name == "Cus-1"
    with pytest.raises(IntegrityError, match="fixed once there is a subscription"), transaction.atomic():
        Customer.objects.filter(pk=who.pk).update(**{field: value})


def test_a_currency_that_is_none_is_refused_on_change() -> None:
    with pytest.raises(BadCurrency):
        enrolling.amend(customer=stories.customer(), changes={"currency": "usd"}, at=AT, actor=ACTOR)


@pytest.mark.parametrize(
    "change",
    ["key = 'other'", "currency = 'usd'", "key = 'a b'", "country = 'USA'", "country = 'us'", "stripe_id = ''"],
)
def test_the_database_refuses_what_no_customer_can_be(change: str) -> None:
    stories.customer()
    with pytest.raises(Exception, match=r"keeps its key|violates check|too long"), transaction.atomic():
        connection.cursor().execute(f"UPDATE plans_customer SET {change}")


def test_stripes_ids_are_remembered_with_a_trail() -> None:
    who = stories.customer()
    enrolling.attach_payment(customer=who, stripe_id="cus_9", at=AT, actor=ACTOR)
    kept = enrolling.attach_payment(customer=who, default_payment_method="pm_1", at=AT, actor=ACTOR)
    assert (kept.stripe_id, kept.default_payment_method) == ("cus_9", "pm_1")
    enrolling.attach_payment(customer=who, stripe_id="cus_9", at=AT, actor=ACTOR)
    trail = AuditEntry.objects.filter(action="customer.payment_attached").order_by("id")
    assert [entry.changes for entry in trail] == [
        {"stripe_id": ["", "cus_9"]},
        {"default_payment_method": ["", "pm_1"]},
    ]


def test_search_by_key_email_and_name() -> None:
    for key, name, email in (
        ("acme", "Acme Corp", "pay@acme.example"),
        ("bolt", "Bolt of Acme", "ops@bolt.example"),
        ("100%", "", ""),
    ):
        if name:
            stories.customer(key, name=name, email=email)
    assert [row.key for row in customers.search("ACME")] == ["acme", "bolt"]
    assert [row.key for row in customers.search(" ops@")] == ["bolt"]
    assert [row.key for row in customers.search("%")] == []
    assert [row.key for row in customers.search()] == ["acme", "bolt"]
    with pytest.raises(customers.CustomerNotFound):
        customers.get("nobody")


def _credit(key: str) -> None:
    crediting.grant(
        customer_key=key, kind="goodwill", amount=Money(5, USD), reason_code="trial", key="g", at=AT, actor=ACTOR,
        authority=Authority(roles=("Support",)),
    )  # fmt: skip


def test_the_currency_is_fixed_by_credit_in_it_and_the_time_zone_is_not() -> None:
    who = stories.customer()
    _credit(who.key)
    with pytest.raises(enrolling.CustomerTermsFixed, match="hold USD") as refused:
        enrolling.amend(customer=who, changes={"currency": "EUR"}, at=AT, actor=ACTOR)
    assert refused.value.details["field"] == "currency"
    assert customers.get(who.key).currency == "USD"
    assert enrolling.amend(customer=who, changes={"time_zone": "Asia/Tokyo"}, at=AT, actor=ACTOR).currency == "USD"


def test_a_stripe_customer_belongs_to_one_customer() -> None:
    first, second = stories.customer(), stories.customer("cus-2")
    enrolling.attach_payment(customer=first, at=AT, actor=ACTOR, stripe_id="cus_Same")
    with pytest.raises(enrolling.StripeCustomerTaken) as refused:
        enrolling.attach_payment(
            customer=second, at=AT, actor=ACTOR, stripe_id="cus_Same", default_payment_method="pm_x"
        )
    assert (refused.value.http_status, refused.value.details["field"]) == (409, "stripe_id")
    assert (customers.get("cus-2").stripe_id, customers.get("cus-2").default_payment_method) == (None, "")
    assert AuditEntry.objects.filter(action="customer.payment_attached").count() == 1

"""Every act that moves money, changes terms or lets somebody in leaves one entry, in the transaction of the act."""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.test import Client
from moneyed import USD, Money

if TYPE_CHECKING:
    from tests.console.desk import Desk

AsRole = Callable[[str], Client]


def _actions() -> list[str]:
    from billing_ops.models import AuditEntry

    return list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))


class Walk:
    """Runs acts and says which entries each of them left."""

    def __init__(self) -> None:
        self.seen = len(_actions())

    def left(self, *expected: str) -> None:
        """The entries since the last look are exactly these."""
        found = _actions()[self.seen :]
        assert found == list(expected)
        self.seen += len(found)


def test_catalogue_and_customers_leave_their_entries(desk: "Desk") -> None:
    from metering import defining
    from plans import enrolling, publishing, subscribing
    from plans.rules.details import CustomerDetails
    from tests.support.billing import PRO, TESTER

    by: Any = {"at": desk.now, "actor": TESTER}
    walk = Walk()
    for expected in (["meter.defined"], []):
        defining.define(key="calls", name="Calls", event_type="llm.request", aggregation="count", **by)
        walk.left(*expected)
    plan = publishing.create_plan(key="basic", name="Basic", **by)
    walk.left("plan.created")
    version = publishing.draft_version(plan=plan, spec=PRO, **by)
    walk.left("plan.version_drafted")
    publishing.publish(version=version, **by)
    walk.left("plan.version_published")
    for expected in (["customer.created"], []):
        customer = enrolling.enroll(key="new-co", details=CustomerDetails(name="New", currency="USD"), **by)
        walk.left(*expected)
    enrolling.amend(customer=customer, changes={"name": "Newer"}, **by)
    walk.left("customer.changed")
    enrolling.attach_payment(customer=customer, default_payment_method="pm_card_visa", **by)
    walk.left("customer.payment_attached")
    started = subscribing.subscribe(customer=customer, version=version, key="s", starts_at=desk.now, **by)
    walk.left("subscription.started")
    subscribing.end(subscription=started, **by)
    walk.left("subscription.ending")


def test_money_leaves_its_entries(desk: "Desk") -> None:
    from invoicing import billing, collecting, finalizing
    from invoicing.models import Invoice
    from ledger import closing, crediting, voiding
    from ledger.models import Period
    from tests.support.billing import START, TESTER

    by: Any = {"at": desk.now, "actor": TESTER}
    terms: Any = {"customer_key": "acme", "amount": Money(3, USD), "reason_code": "trial", **by}
    walk = Walk()
    for expected in (["credit.granted"], []):
        grant = crediting.grant(kind="goodwill", key="walk-1", **terms)
        walk.left(*expected)
    for expected in (["credit.voided"], []):
        voiding.void(grant=grant, reason_code="mistake", key="walk-2", **by)
        walk.left(*expected)
    for expected in (["credit.carried_over"], []):
        crediting.carry_over(kind="paid", key="walk-3", **terms)
        walk.left(*expected)
    collecting.collect(public_id=desk.open().public_id, **by)
    walk.left("payment.attempted")
    january = Period.objects.get(starts_on="2025-01-01")
    for expected in (["period.closed"], []):
        closing.close(period=january, **by)
        walk.left(*expected)
    at = START + timedelta(days=59, hours=1)
    billing.draft_due(until=at, at=at, actor=TESTER)
    drafted = Invoice.objects.filter(status="draft")
    walk.left(*["invoice.drafted"] * drafted.count())
    finalizing.finalize(public_id=drafted.get(customer=desk.acme).public_id, at=at, actor=TESTER)
    walk.left("invoice.finalized")


def test_keys_and_webhooks_leave_their_entries(desk: "Desk") -> None:
    from billing_ops.kit.http import issuing
    from invoicing.models import StripeEvent
    from invoicing.stripe import handling
    from tests.support.billing import TESTER

    by: Any = {"at": desk.now, "actor": TESTER}
    walk = Walk()
    issued = issuing.issue(name="walker", scopes=["events:write"], **by)
    walk.left("api_key.issued")
    for expected in (["api_key.revoked"], []):
        issuing.revoke(prefix=issued.row.prefix, **by)
        walk.left(*expected)
    handling.replay(event_pk=StripeEvent.objects.get(event_id="evt_parked1").pk, **by)
    walk.left("webhook.replayed")


def test_an_act_that_is_undone_leaves_nothing(desk: "Desk") -> None:
    from ledger import crediting
    from tests.support.billing import TESTER

    walk = Walk()
    with transaction.atomic():
        crediting.grant(
            customer_key="acme", kind="goodwill", amount=Money(3, USD), reason_code="trial", key="undone",
            at=desk.now, actor=TESTER,
        )  # fmt: skip
        walk.left("credit.granted")
        transaction.set_rollback(True)
    assert len(_actions()) == walk.seen - 1


def test_an_entry_of_a_credit_says_who_why_and_for_which_ticket(desk: "Desk", as_role: AsRole) -> None:
    from billing_ops.models import AuditEntry
    from ledger import crediting
    from ledger.models import CreditGrant
    from tests.support.billing import TESTER

    crediting.grant(
        customer_key="acme", kind="goodwill", amount=Money("12.34", USD), reason_code="slow_support", key="told-once",
        at=desk.now, actor=TESTER, ticket="SUP-" + "9" * 90, note="waited a week",
    )  # fmt: skip
    grant = CreditGrant.objects.get(idempotency_key="told-once")
    entry = AuditEntry.objects.get(action="credit.granted", subject_key=str(grant.public_id))
    assert (entry.customer_key, entry.reason, entry.note) == ("acme", "slow_support", "waited a week")
    assert entry.summary == "12.34 USD of goodwill credit granted"
    page = as_role("support").get(f"/console/customers/{desk.acme.pk}/")
    told = [one for one in page.context["happenings"] if "waited a week" in one.why]
    assert len(told) == 1
    assert told[0].lines

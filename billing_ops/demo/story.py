"""Three months of history, played through the product's own operations, day by day, as they would have happened.

Every step has its natural key, so a load that was interrupted is simply played again.
"""

import json
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import cast

from django.conf import settings
from moneyed import EUR, USD, Money

from billing_ops.demo import prepaid, traffic
from billing_ops.demo.cast import CAST, CONTEXT, GENERATED, PLANS, Member
from billing_ops.kit import approving
from billing_ops.kit.actor import Actor, system
from billing_ops.kit.periods import add_months
from billing_ops.models import Approval
from invoicing import billing
from ledger import approved, closing, crediting, rolling_up, sealing
from ledger.models import Period
from ledger.rules.limits import Above, Authority
from ledger.rules.terms import Asked, terms_of
from metering import aggregating, defining, ingesting
from plans import catalog, enrolling, publishing, subscribing
from plans.rules.details import CustomerDetails

DEMO = system("demo")
_AGENT = Actor("user", "support", "Sam Support")
_SUPPORT = Authority(roles=("Support",))
_ALONE = Decimal(100)
"""What the installation lets support give in one credit."""
_APPROVER = Actor("user", "finance", "Fay Finance")


def play(*, until: datetime, say: Callable[[str], None]) -> None:
    """Play the story from three months before ``until`` up to it."""
    today = until.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    begin = add_months(today, -3, anchor_day=1)
    _catalogue(begin)
    day = begin
    while day < until:
        end = min(day + timedelta(days=1), until)
        _stripe_clock(end)
        _play_day(begin, day, end)
        if end.day == 1 or end == until:
            say(f"  played until {end:%-d %B %Y}")
        day = end
    billing.accrue_all(at=until, actor=DEMO)
    _one_waits(until)
    prepaid.begin_a_hold(until, DEMO)
    _books(begin, until)
    _stripe_clock(None)


def _play_day(begin: datetime, day: datetime, end: datetime) -> None:
    for member in CAST:
        joined = begin + timedelta(days=member.joined_day - 1, hours=9)
        if day <= joined < end:
            _join(member, joined)
        if end > joined:
            ingesting.accept(events=list(traffic.requests_of(member, max(day, joined), end)), at=end, actor=DEMO)
    _credits(begin, day, end)
    while aggregating.advance(at=end).batches:
        pass
    prepaid.play_day(begin, day, end, DEMO)
    if day.weekday() == 0:
        billing.accrue_all(at=end, actor=DEMO)
    billing.run(until=end, at=end, actor=DEMO)


def _catalogue(at: datetime) -> None:
    for key, path in ((CONTEXT, "context_tokens"), (GENERATED, "generated_tokens")):
        defining.define(
            key=key,
            name=key.replace("-", " ").capitalize(),
            event_type="llm.request",
            aggregation="sum",
            value_path=path,
            unit="tokens",
            at=at,
            actor=DEMO,
        )
    for key, (name, spec) in PLANS.items():
        plan = publishing.create_plan(key=key, name=name, at=at, actor=DEMO)
        version = publishing.draft_version(plan=plan, spec=spec, at=at, actor=DEMO)
        publishing.publish(version=version, at=at, actor=DEMO)


def _join(member: Member, at: datetime) -> None:
    version = catalog.version(member.plan)
    details = CustomerDetails(
        name=member.name,
        currency=version.currency,
        email=member.email,
        time_zone=member.time_zone,
        **member.address,
    )
    customer = enrolling.enroll(key=member.key, details=details, at=at, actor=DEMO)
    if not customer.default_payment_method:
        enrolling.attach_payment(customer=customer, at=at, actor=DEMO, default_payment_method=member.card)
    subscribing.subscribe(
        customer=customer, version=version, key=f"{member.key}-{member.plan}", starts_at=at, at=at, actor=DEMO
    )


def _credits(begin: datetime, day: datetime, end: datetime) -> None:
    for joined_days, grant in (
        (
            14,
            {
                "customer_key": "kestrel",
                "kind": "promotional",
                "amount": Money(Decimal(200), USD),
                "reason_code": "launch_promotion",
                "note": "Launch offer: $200 of usage are free.",
                "scope": ("context", "generated"),
            },
        ),
        (
            38,
            {
                "customer_key": "juniper",
                "kind": "goodwill",
                "amount": Money(Decimal(75), USD),
                "reason_code": "service_outage",
                "ticket": "SUP-2291",
                "note": "Two hours of failed requests; promised on the phone.",
            },
        ),
        (
            50,
            {
                "customer_key": "lumen",
                "kind": "promotional",
                "amount": Money(Decimal(10), EUR),
                "reason_code": "referral",
                "ticket": "SUP-2377",
                "note": "Referred a new customer.",
            },
        ),
    ):
        at = begin + timedelta(days=joined_days, hours=15)
        if day <= at < end:
            _give(cast(Asked, grant), at)


def _give(asked: Asked, at: datetime) -> None:
    """Give credit as support does: above the limit, finance approves it an hour later."""
    key, terms = f"demo-{asked['customer_key']}", terms_of(asked)
    if terms.amount <= _ALONE:
        crediting.grant(key=key, at=at, actor=_AGENT, authority=_SUPPORT, **asked)
        return
    row = _ask(asked, key, at)
    later = at + timedelta(hours=1)
    seen = approving.preview(approval=row, at=later).fingerprint()
    approving.approve(approval_id=row.pk, seen=seen, actor=_APPROVER, at=later, note="As agreed with sales.")


def _ask(asked: Asked, key: str, at: datetime) -> Approval:
    above = Above("per_credit", "Support", limit=_ALONE, left=_ALONE)
    return approved.ask_for_credit(terms=terms_of(asked), above=above, key=key, actor=_AGENT, at=at)


def _one_waits(at: datetime) -> None:
    """Something for finance to decide on the first day."""
    asked: Asked = {
        "customer_key": "juniper",
        "kind": "goodwill",
        "amount": Money(Decimal(180), USD),
        "reason_code": "billing_error",
        "ticket": "SUP-2410",
        "note": "Charged twice for the same month before they moved to us; they have the statement.",
    }
    _ask(asked, "demo-waits", at - timedelta(hours=5))


def _books(begin: datetime, until: datetime) -> None:
    """The first month is closed, the second softly; the journal is rolled up and sealed."""
    second = add_months(begin, 1, anchor_day=1)
    for start, act in ((begin, closing.close), (second, closing.soft_close)):
        period = Period.objects.filter(starts_on=start.date()).first()
        if period is not None and add_months(start, 1, anchor_day=1) <= until:
            act(period=period, at=until, actor=_APPROVER)
    rolling_up.roll_up()
    sealing.seal(at=until)


def _stripe_clock(instant: datetime | None) -> None:
    """Let the Stripe stand-in live in the story's time, or in ours again; without a stand-in nothing is to be set."""
    if settings.STRIPE_API_BASE:
        body = json.dumps({"now": instant.isoformat() if instant else None}).encode()
        request = urllib.request.Request(f"{settings.STRIPE_API_BASE}/_standin/clock", data=body)  # noqa: S310
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310  # the address of our own setting

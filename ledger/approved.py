"""What the ledger does once a second person approves: give a credit above a limit, raise a role's limit.

A request's content is all there is to go by: what is executed is read from it and from nothing else.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from moneyed import Money

from billing_ops.kit import approving
from billing_ops.kit.actor import Actor
from billing_ops.kit.approval_kinds import Change, Kind, Preview, PreviewLine
from billing_ops.kit.money import currency, plain
from billing_ops.models import Approval
from ledger import crediting, drawing, holders, limiting, opening, policies, posting
from ledger.balances import CustomerBalances
from ledger.journal import JournalLine
from ledger.rules.limits import Above, Limit
from ledger.rules.terms import Terms
from ledger.rules.worth import is_own

GRANT: Final = "credit.grant"
LIMIT: Final = "credit.limit"


def ask_for_credit(
    *, terms: Terms, above: Above, key: str, actor: Actor, at: datetime, replaces: Approval | None = None
) -> Approval:
    """Ask for a credit that is above what the actor may give alone. The same key and terms are the same request.

    With ``replaces``, an own request that waits, this one takes its place and that one is void.
    """
    return approving.ask(
        kind=GRANT,
        key=key,
        subject=terms.request(),
        customer_key=terms.customer_key,
        summary=f"{limiting.shown(terms.amount, terms.unit)} of {terms.kind} credit",
        why=limiting.in_words(above, terms.unit),
        flags=above.flags,
        replaces=replaces,
        reason_code=terms.reason_code,
        ticket=terms.ticket,
        note=terms.note,
        actor=actor,
        at=at,
    )


def ask_for_limit(*, wanted: Limit, reason: str, key: str, actor: Actor, at: datetime) -> Approval:
    """Ask that a role of one's own may give more."""
    return approving.ask(
        kind=LIMIT,
        key=key,
        subject={
            "role": wanted.role,
            "unit": wanted.unit,
            **{name: plain(getattr(wanted, name)) for name in limiting.AMOUNTS},
            "reason": reason,
        },
        summary=f"Limits of {wanted.role} in {wanted.unit}",
        why=f"Who asks is in the role {wanted.role} and would give it more.",
        reason_code="limit",
        note=reason,
        actor=actor,
        at=at,
    )


def _terms(subject: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of ``crediting.grant`` and ``crediting.preview``."""
    return {
        "customer_key": subject["customer_key"],
        "kind": subject["kind"],
        **_quantity(subject),
        "reason_code": subject["reason_code"],
        "priority": subject["priority"],
        "effective_at": _instant(subject["effective_at"]),
        "expires_at": _instant(subject["expires_at"]),
        "scope": subject["scope"],
        "ticket": subject["ticket"],
        "note": subject["note"],
    }


def _quantity(subject: Mapping[str, Any]) -> dict[str, Any]:
    amount, unit = Decimal(subject["amount"]), subject["unit"]
    if is_own(unit):
        return {"amount": amount, "unit": unit, "currency": subject.get("currency", "")}
    return {"amount": Money(amount, currency(unit))}


def _asker(approval: Approval) -> Actor:
    return Actor(approval.requested_by_type, approval.requested_by_id, approval.requested_by_label)  # type: ignore[arg-type]


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _day_and_time(text: str | None) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC" if text else ""


def _preview_grant(approval: Approval, at: datetime) -> Preview:
    subject = approval.subject
    holders.check(customer_key=subject["customer_key"], unit=subject["unit"])
    found = crediting.preview(**_terms(subject), promo_policy=policies.promo(), actor=_asker(approval), at=at)
    return Preview(
        lines=tuple(map(_line, found.lines)),
        changes=_changes(found.before, found.after, subject["unit"]),
        facts={
            "Kind": subject["kind"].capitalize(),
            "Usable from": _day_and_time(subject["effective_at"]) or "When it is approved",
            "Credit expires": _day_and_time(subject["expires_at"]) or "Never",
            "Pays for": ", ".join(subject["scope"]) or "Everything",
        },
    )


def _lock_grant(approval: Approval, at: datetime) -> None:
    posting.enter_period(effective_at=at)
    opening.register_units({approval.subject["unit"]})
    drawing.lock_wallet(approval.subject["customer_key"], approval.subject["unit"])


def _grant(approval: Approval, at: datetime, approver: Actor) -> str:
    given = crediting.grant(
        **_terms(approval.subject),
        promo_policy=policies.promo(),
        holder_check=holders.check,
        actor=_asker(approval),
        at=at,
        key=f"approval:{approval.public_id}",
        approval=approval,
    )
    return f"credit_grant:{given.public_id}"


def _line(line: JournalLine) -> PreviewLine:
    return PreviewLine(line.side, line.code, line.name, line.amount, line.unit, line.customer_key, line.dimension)


def _changes(before: CustomerBalances, after: CustomerBalances, unit: str) -> tuple[Change, ...]:
    names = {
        "goodwill_credits": "Goodwill credits",
        "promotional_credits": "Promotional credits",
        "credits_total": "Credits in all",
    }
    return tuple(Change(label, getattr(before, name), getattr(after, name), unit) for name, label in names.items())


def _limit_of(subject: Mapping[str, Any]) -> Limit:
    amounts = {name: Decimal(subject[name]) for name in limiting.AMOUNTS}
    return Limit(role=subject["role"], unit=subject["unit"], **amounts)


_LABELS: Final = {
    "per_credit": "Per credit",
    "per_agent_day": "Per agent in 24 hours",
    "per_customer_30_days": "Per customer in 30 days",
}


def _preview_limit(approval: Approval, at: datetime) -> Preview:
    wanted = _limit_of(approval.subject)
    rows = limiting.in_force(unit=wanted.unit, at=at, roles=[wanted.role])
    now = rows[0] if rows else None
    changes = tuple(
        Change(label, getattr(now, name) if now else Decimal(0), getattr(wanted, name), wanted.unit)
        for name, label in _LABELS.items()
    )
    return Preview(changes=changes, facts={"Role": wanted.role, "Valid from": "When it is approved"})


def _lock_limit(approval: Approval, at: datetime) -> None:
    limiting.lock_limit(approval.subject["role"], approval.subject["unit"])


def _set_limit(approval: Approval, at: datetime, approver: Actor) -> str:
    wanted = _limit_of(approval.subject)
    made = limiting.set_limit(
        role=wanted.role,
        unit=wanted.unit,
        per_credit=wanted.per_credit,
        per_agent_day=wanted.per_agent_day,
        per_customer_30_days=wanted.per_customer_30_days,
        reason=approval.subject["reason"],
        actor=_asker(approval),
        at=at,
        approval_id=approval.pk,
    )
    return f"credit_limit:{made.pk}"


CREDIT_GRANT: Final = Kind("Credit above a limit", "ledger.approve_credit", _preview_grant, _grant, _lock_grant)
CREDIT_LIMIT: Final = Kind("Raise a limit", "ledger.set_limits", _preview_limit, _set_limit, _lock_limit)

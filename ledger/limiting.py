"""Keep who gives credit within the limits of their role; set those limits.

A person or an API key gives credit on the authority of a role. What is given so is remembered, and summed under two
locks: the agent's, then the customer's wallet. So requests that come together never exceed a limit together; a trigger
computes the same sums of what was given again. What a schedule promises counts as if it had been given. Jobs of the
house (credit that a plan includes) have no limits. An approved credit counts against none: somebody looked at it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import connection, transaction
from django.db.models import Count, Q, Sum

from billing_ops.kit import audit
from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import BillingError, InvalidInput
from billing_ops.kit.money import BadCurrency, grouped, plain, round_amount
from ledger.models import CreditGrant, CreditLimit, CreditSchedule, LimitUse
from ledger.rules import limits
from ledger.rules.limits import Above, Allowed, Authority, Given, Limit
from ledger.rules.terms import Terms

API_KEY: Final = "API key"
"""The role of every API key."""

log = logging.getLogger(__name__)

_DAY, _MONTH = timedelta(hours=24), timedelta(days=30)
_ZERO = Decimal(0)


class AboveLimit(BillingError):
    """The credit needs a second person; ``details`` name the ``limit``, its ``role`` and what is ``left``."""

    code = "credit.above_limit"


class BadLimit(InvalidInput):
    """A limit that cannot be set as asked."""

    code = "limit.invalid"


class OwnLimit(BillingError):
    """Nobody raises the limit of a role of their own alone."""

    code = "limit.own_role"
    http_status = 403
    remedy = "Ask for it: somebody else who may set limits approves."


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an agent stands before a credit to a customer: the limits of their roles, and what was given so far."""

    limits: Sequence[Limit]
    given: Given

    @property
    def best(self) -> Limit | None:
        """The limits under which most is left."""
        return max(self.limits, key=lambda one: (limits.left(one, self.given), one.per_credit), default=None)

    @property
    def left(self) -> Decimal:
        """What may be given in one credit without a second person."""
        return limits.left(self.best, self.given) if self.best is not None else _ZERO


def limited(actor: Actor) -> bool:
    """Whether limits bind this actor: people and API keys, not the house's own jobs."""
    return actor.type in ("user", "api_key")


def in_force(*, unit: str, at: datetime, roles: Sequence[str] | None = None) -> list[CreditLimit]:
    """The limits of each role in a unit; ``roles`` None is all of them."""
    rows = CreditLimit.objects.filter(unit=unit, valid_from__lte=at)
    if roles is not None:
        rows = rows.filter(role__in=roles)
    return list(rows.order_by("role", "-valid_from", "-id").distinct("role"))


def standing(*, customer_key: str, unit: str, actor: Actor, authority: Authority, at: datetime) -> Standing:
    """Where an agent stands now. Only under :func:`lock_agent` and the wallet's lock does it stay so."""
    rows = in_force(unit=unit, at=at, roles=authority.roles)
    return Standing([_values(row) for row in rows], _given(customer_key, unit, actor, at))


def check(*, terms: Terms, actor: Actor, authority: Authority, at: datetime, every: str = "") -> Allowed | Above | None:
    """Whether an actor may give a credit of these terms alone; None if no limit binds them."""
    if not limited(actor):
        return None
    stands = standing(customer_key=terms.customer_key, unit=terms.unit, actor=actor, authority=authority, at=at)
    again = terms.amount * (_IN_30_DAYS.get(every, 1) - 1)
    given = replace(stands.given, to_customer_30_days=stands.given.to_customer_30_days + again)
    return limits.check(amount=terms.amount, authority=authority, limits=stands.limits, given=given)


def lock_agent(actor: Actor) -> None:
    """Wait for the credits that this agent is giving at this moment. Taken after the period and before the wallet."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_lock_agent(%s, %s)", [actor.type, actor.id])


def lock_limit(role: str, unit: str) -> None:
    """Wait for changes of that limit."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('credit_limit'), hashtext(%s))", [f"{role} {unit}"])


def enforce(*, terms: Terms, actor: Actor, authority: Authority, at: datetime, every: str = "") -> str:
    """The role on whose authority the credit is given; raises :class:`AboveLimit`. Under both locks.

    ``every``: it comes again so often (``CreditSchedule.every``), and all of 30 days counts.
    """
    found = check(terms=terms, actor=actor, authority=authority, at=at, every=every)
    if found is None:
        return ""
    if isinstance(found, Above):
        log.warning("%s is above the limit %s of %r", actor, found.rule, found.role)
        raise AboveLimit(
            in_words(found, terms.unit), remedy=_remedy(found, terms.unit), limit=found.rule, role=found.role,
            allowed=plain(found.limit), left=plain(found.left), unit=terms.unit,
        )  # fmt: skip
    return found.role


def remember(*, grant: CreditGrant, role: str) -> None:
    """Count a credit that was given on a role's authority."""
    LimitUse.objects.create(
        grant=grant, role=role, agent_type=grant.requested_by_type, agent_id=grant.requested_by_id,
        customer_key=grant.customer_key, unit=grant.unit_id, amount=grant.amount, given_at=grant.created_at,
    )  # fmt: skip


def set_limit(
    *,
    role: str,
    unit: str,
    per_credit: Decimal,
    per_agent_day: Decimal,
    per_customer_30_days: Decimal,
    reason: str,
    actor: Actor,
    at: datetime,
    own_roles: Sequence[str] = (),
    valid_from: datetime | None = None,
    approval_id: int | None = None,
) -> CreditLimit:
    """Set what a role may give in a unit from ``valid_from`` (default now); the rows before stay as history.

    What is set already stays as it is: a second click changes nothing. ``own_roles`` are the actor's. Raises
    :class:`BadLimit`, and :class:`OwnLimit` if one of them would get more.
    """
    wanted = Limit(role, unit, per_credit, per_agent_day, per_customer_30_days)
    _check_limit(wanted, reason=reason, starts=valid_from or at, at=at)
    with transaction.atomic():
        lock_limit(role, unit)
        before = next(iter(in_force(unit=unit, at=at, roles=[role])), None)
        newest = CreditLimit.objects.filter(role=role, unit=unit).order_by("-valid_from", "-id").first()
        if newest is not None and newest.valid_from <= (valid_from or at) and _values(newest) == wanted:
            return newest
        if approval_id is None and raises_own(wanted, own_roles=own_roles, at=at):
            raise OwnLimit(f"You are in the role {role}: somebody else approves that it may give more.")
        made = CreditLimit.objects.create(
            role=role, unit=unit, per_credit=per_credit, per_agent_day=per_agent_day,
            per_customer_30_days=per_customer_30_days, valid_from=valid_from or at, set_at=at, set_by=actor.id,
            reason=reason, approval_id=approval_id,
        )  # fmt: skip
        audit.record(
            at=at,
            actor=actor,
            action="limit.set",
            subject_type="credit_limit",
            subject_key=f"{role} {unit}",
            summary=f"Limits of {role} in {unit} set",
            note=reason,
            changes={
                name: [plain(getattr(before, name)) if before else None, plain(getattr(made, name))] for name in AMOUNTS
            },
        )
        return made


AMOUNTS: Final = ("per_credit", "per_agent_day", "per_customer_30_days")


def raises_own(wanted: Limit, *, own_roles: Sequence[str], at: datetime) -> bool:
    """Whether somebody with those roles would give their own role more."""
    if wanted.role not in own_roles:
        return False
    before = next(iter(in_force(unit=wanted.unit, at=at, roles=[wanted.role])), None)
    return any(getattr(wanted, name) > (getattr(before, name) if before else _ZERO) for name in AMOUNTS)


def in_words(above: Above, unit: str) -> str:
    """Why a credit needs a second person."""
    role, limit = above.role or "nobody", shown(above.limit, unit)
    return {
        "no_limit": f"Your role has no limit in {unit}: every credit in it needs a second person.",
        "per_credit": f"{role} may give at most {limit} in one credit.",
        "per_agent_day": f"{role} may give at most {limit} an agent in 24 hours.",
        "per_customer_30_days": f"{role} may give at most {limit} to one customer in 30 days.",
        "splitting": f"Several credits to this customer within 24 hours together exceed the {limit} that one may be.",
        "own_domain": "Your e-mail address belongs to this customer.",
    }[above.rule]


def shown(amount: Decimal, unit: str) -> str:
    """An amount with its unit, in at least the decimals that it is written with."""
    try:
        paid = round_amount(amount, unit)
    except BadCurrency:  # a company's own credits
        return f"{grouped(amount)} {unit}"
    return f"{paid:,} {unit}" if paid == amount else f"{grouped(amount)} {unit}"


def _remedy(above: Above, unit: str) -> str:
    ask = "ask for it in the console, where another person approves it"
    if above.left <= 0:
        return f"{ask[0].upper()}{ask[1:]}."
    return f"Give at most {shown(above.left, unit)}, or {ask}."


def _check_limit(wanted: Limit, *, reason: str, starts: datetime, at: datetime) -> None:
    if not wanted.role or len(wanted.role) > 40 or not wanted.unit:
        raise BadLimit("Name the role and the unit.", field="role")
    for name in AMOUNTS:
        amount = getattr(wanted, name)
        if not amount.is_finite() or amount < 0:
            raise BadLimit("A limit is zero or more.", field=name)
    if wanted.per_credit > wanted.per_agent_day or wanted.per_credit > wanted.per_customer_30_days:
        raise BadLimit("One credit may not be more than a day or a customer allows.", field="per_credit")
    if not reason.strip():
        raise BadLimit("Say why the limit is set.", field="reason")
    if starts < at:
        raise BadLimit("A limit cannot begin in the past.", field="valid_from")


def _values(row: CreditLimit) -> Limit:
    return Limit(row.role, row.unit, row.per_credit, row.per_agent_day, row.per_customer_30_days)


def _given(customer_key: str, unit: str, actor: Actor, at: datetime) -> Given:
    by_agent = LimitUse.objects.filter(
        agent_type=actor.type, agent_id=actor.id, unit=unit, given_at__gt=at - _DAY
    ).aggregate(sum=Sum("amount"))
    customer = LimitUse.objects.filter(customer_key=customer_key, unit=unit)
    month = customer.filter(given_at__gt=at - _MONTH).aggregate(sum=Sum("amount"))
    day = customer.filter(given_at__gt=at - _DAY).aggregate(sum=Sum("amount"), count=Count("id"))
    return _with_promised(
        Given(by_agent["sum"] or _ZERO, month["sum"] or _ZERO, day["sum"] or _ZERO, day["count"]),
        customer_key, unit, actor, at,
    )  # fmt: skip


_IN_30_DAYS: Final = {"day": 30, "week": 5}
"""How often a schedule gives in 30 days; others once."""


def _with_promised(given: Given, customer_key: str, unit: str, actor: Actor, at: datetime) -> Given:
    """Besides what was given, what people and keys promised by schedules: those credits count nowhere else."""
    mine, theirs = Q(made_by_type=actor.type, made_by_id=actor.id), Q(customer_key=customer_key)
    rows = CreditSchedule.objects.filter(mine | theirs, unit=unit, made_by_type__in=("user", "api_key")).exclude(
        ends_at__lte=at - _MONTH
    )
    agent, month, day, count = given.by_agent_24h, given.to_customer_30_days, given.to_customer_24h, given.credits_24h
    for row in rows:
        today = row.made_at > at - _DAY
        if today and (row.made_by_type, row.made_by_id) == (actor.type, actor.id):
            agent += row.amount
        if row.customer_key == customer_key:
            month += row.amount * _IN_30_DAYS.get(row.every, 1)
            day, count = (day + row.amount, count + 1) if today else (day, count)
    return Given(agent, month, day, count)

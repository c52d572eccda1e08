"""How much credit somebody may give alone: the limits of a role against what was given, and who belongs to whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from billing_ops.kit.approvals import OWN_DOMAIN, SPLITTING

Rule = Literal["no_limit", "per_credit", "per_agent_day", "per_customer_30_days", "splitting", "own_domain"]

SPLIT_COUNT: Final = 3
"""So many credits to one customer within 24 hours, together above the limit of one, look like one that was split."""

PUBLIC_MAIL: Final = frozenset({
    "aol.com", "fastmail.com", "gmail.com", "gmx.de", "gmx.net", "googlemail.com", "hotmail.com", "icloud.com",
    "live.com", "mail.com", "mail.ru", "me.com", "msn.com", "outlook.com", "pm.me", "proton.me", "protonmail.com",
    "qq.com", "163.com", "web.de", "yahoo.com", "yandex.com", "yandex.ru", "zoho.com",
})  # fmt: skip
"""Domains that say nothing about who belongs to whom."""

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Authority:
    """On whose authority a credit is given: the agent's roles, and what the edge knows to be odd about it.

    ``flags`` are those of ``billing_ops.kit.approvals.FLAGS``.
    """

    roles: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


NO_AUTHORITY: Final = Authority()


@dataclass(frozen=True, slots=True)
class Limit:
    """What a role may give in a unit without a second person."""

    role: str
    unit: str
    per_credit: Decimal
    per_agent_day: Decimal
    per_customer_30_days: Decimal


@dataclass(frozen=True, slots=True)
class Given:
    """What was given alone so far, in the unit asked for: by the agent, and to the customer by anybody."""

    by_agent_24h: Decimal = _ZERO
    to_customer_30_days: Decimal = _ZERO
    to_customer_24h: Decimal = _ZERO
    credits_24h: int = 0
    """How many credits ``to_customer_24h`` is made of."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The credit may be given, on the authority of that role."""

    role: str


@dataclass(frozen=True, slots=True)
class Above:
    """The credit needs a second person: which rule, and how much could be given without."""

    rule: Rule
    role: str
    limit: Decimal
    left: Decimal
    flags: tuple[str, ...] = ()


def left(limit: Limit, given: Given) -> Decimal:
    """What a role may still give to that customer in one credit now; never below zero."""
    room = min(
        limit.per_credit,
        limit.per_agent_day - given.by_agent_24h,
        limit.per_customer_30_days - given.to_customer_30_days,
    )
    if given.credits_24h + 1 >= SPLIT_COUNT:
        room = min(room, limit.per_credit - given.to_customer_24h)
    return max(room, _ZERO)


def check(*, amount: Decimal, authority: Authority, limits: Sequence[Limit], given: Given) -> Allowed | Above:
    """Whether an agent may give that much alone. ``limits`` are those in force of the agent's roles, in the unit.

    Each role's limits are taken as a whole; the role under which most is left decides.
    """
    own = tuple(role for role in limits if role.role in authority.roles)
    best = max(own, key=lambda one: (left(one, given), one.per_credit), default=None)
    room = left(best, given) if best is not None else _ZERO
    if OWN_DOMAIN in authority.flags:
        return Above("own_domain", best.role if best else "", _ZERO, _ZERO, authority.flags)
    if best is None:
        return Above("no_limit", authority.roles[0] if authority.roles else "", _ZERO, _ZERO, authority.flags)
    if amount <= room:
        return Allowed(best.role)
    rule, allowed = _broken(best, amount, given)
    flags = (*authority.flags, SPLITTING) if _splits(best, amount, given) else authority.flags
    return Above(rule, best.role, allowed, room, flags)


def _broken(limit: Limit, amount: Decimal, given: Given) -> tuple[Rule, Decimal]:
    if amount > limit.per_credit:
        return "per_credit", limit.per_credit
    if given.by_agent_24h + amount > limit.per_agent_day:
        return "per_agent_day", limit.per_agent_day
    if given.to_customer_30_days + amount > limit.per_customer_30_days:
        return "per_customer_30_days", limit.per_customer_30_days
    return "splitting", limit.per_credit


def _splits(limit: Limit, amount: Decimal, given: Given) -> bool:
    return given.credits_24h + 1 >= SPLIT_COUNT and given.to_customer_24h + amount > limit.per_credit


def belongs_to(address: str, others: Sequence[str]) -> bool:
    """Whether the owner of an e-mail address belongs to those: the same address, or a domain of theirs.

    A subdomain counts as its domain; a public mail provider's domain says nothing; without an address nobody belongs.
    """
    mine = _address(address)
    for other in map(_address, others):
        if not mine or not other:
            continue
        if mine == other:
            return True
        one, two = mine.rpartition("@")[2], other.rpartition("@")[2]
        if one in PUBLIC_MAIL or two in PUBLIC_MAIL:
            continue
        if one == two or one.endswith(f".{two}") or two.endswith(f".{one}"):
            return True
    return False


def _address(text: str) -> str:
    """In lower case, without the part of a mailbox after a plus; empty if it is none."""
    name, at, domain = text.strip().casefold().rpartition("@")
    domain = domain.rstrip(".")
    return f"{name.partition('+')[0]}@{domain}" if at and name and "." in domain else ""

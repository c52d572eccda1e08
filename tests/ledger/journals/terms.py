"""All valid input of every movement, as Hypothesis strategies."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from ledger.rules import movements, routes
from ledger.rules.chart import BY_CODE
from ledger.rules.entries import LineSpec
from ledger.rules.movements import CreditUse

Lines = tuple[LineSpec, ...]
Given = dict[str, Any]

ZERO = Decimal(0)
USD = {"currency": st.just("USD")}
WHO = {"customer_key": st.just("cus-1")}
CONTRACT = {"contract": st.sampled_from(("", "c-1"))}

some = st.integers(1, 10**8).map(lambda n: Decimal(n).scaleb(-2))
none_or_some = st.one_of(st.just(ZERO), some)
fine = st.integers(1, 10**14).map(lambda n: Decimal(n).scaleb(-12))
either = st.one_of(some, some.map(lambda amount: -amount), st.just(ZERO))
taxes = st.dictionaries(st.sampled_from(("DE", "US-CA", "US-CA-SF")), none_or_some, max_size=3)

_ON = {
    "paid": ([("", "")], [("9110", "2005")]),
    "goodwill": ([("", "")], [("9110", "2015")]),
    "promotional": ([("", ""), ("2020", ""), ("9010", "")], [("9110", ""), ("9110", "2025")]),
    "included": ([("", "")], [("9110", "")]),
}


@st.composite
def credits_of(draw: st.DrawFn, *, unit: str, kinds: tuple[str, ...] = tuple(_ON)) -> Given:
    """A kind, the account of its grant in that unit, an amount, and the money beside it where there may be any."""
    kind = draw(st.sampled_from(kinds))
    own = unit == "credits"
    code, money_code = draw(st.sampled_from(_ON[kind][own]))
    worth = own and (bool(money_code) or (kind in ("promotional", "included") and draw(st.booleans())))
    return {
        "kind": kind,
        "amount": draw(fine),
        "code": code,
        "money_code": money_code,
        "money": draw(some) if worth else ZERO,
        "currency": "USD" if worth else "",
    }


units = st.sampled_from(("USD", "credits"))


@st.composite
def given_credit(draw: st.DrawFn, *, kinds: tuple[str, ...] = ("promotional", "goodwill", "included")) -> Given:
    unit = draw(units)
    return {**draw(credits_of(unit=unit, kinds=kinds)), "unit": unit, "customer_key": "cus-1", "grant": "g-1"}


@st.composite
def used_credit(draw: st.DrawFn) -> Given:
    unit = draw(units)
    uses = [
        CreditUse(dimension=f"g-{number}", **draw(credits_of(unit=unit))) for number in range(draw(st.integers(1, 5)))
    ]
    return {"customer_key": "cus-1", "unit": unit, "uses": uses}


@st.composite
def drawn(draw: st.DrawFn) -> Given:
    return {**draw(used_credit()), "overage": draw(none_or_some), "currency": "USD"}


@st.composite
def covered(draw: st.DrawFn) -> Given:
    return {**draw(used_credit()), "accrued": draw(st.one_of(st.none(), fine)), "currency": "USD"}


@st.composite
def returned(draw: st.DrawFn) -> Given:
    return {**draw(drawn()), "against": draw(st.sampled_from(("4000", "4910", "2100"))), "contract": "c-1"}


@st.composite
def expired(draw: st.DrawFn) -> Given:
    return {**draw(given_credit(kinds=tuple(_ON))), "breakage": draw(st.sampled_from(("4030", "2500")))}


@st.composite
def moved(draw: st.DrawFn, *, kinds: tuple[str, ...], to: str) -> Given:
    unit = draw(units)
    terms = draw(credits_of(unit=unit, kinds=kinds))
    kind, code = terms.pop("kind"), terms.pop("code")
    default = {"paid": "2000", "goodwill": "2010"}.get(kind, "9010")
    return {
        **terms, "unit": unit, "code": code or default, "from_customer": "cus-1", "from_grant": "g-1",
        "to_customer": to, "to_grant": "g-2",
    }  # fmt: skip


@st.composite
def bought(draw: st.DrawFn) -> Given:
    terms = {"customer_key": "cus-1", "currency": "USD", "price": draw(fine), "grant": "g-1"}
    return {**terms, "unit": "credits", "amount": draw(fine)} if draw(st.booleans()) else terms


@st.composite
def refunded(draw: st.DrawFn) -> Given:
    own, tax, money = draw(st.booleans()), draw(taxes), draw(fine)
    whole = (money + sum(tax.values())).quantize(Decimal("0.01")) + Decimal("0.01")
    common = {"customer_key": "cus-1", "grant": "g-1", "tax": tax, "refund": whole}
    common["rounding"] = whole - money - sum(tax.values())
    if own:
        return {**common, "unit": "credits", "amount": draw(fine), "currency": "USD", "money": money}
    return {**common, "unit": "USD", "amount": money}


@st.composite
def invoiced(draw: st.DrawFn) -> Given:
    """An invoice, composed as invoices are: what is due is what the other parts leave."""
    uses = [
        CreditUse(dimension=f"g-{number}", **{**draw(credits_of(unit="USD")), "amount": draw(some)})
        for number in range(draw(st.integers(0, 4)))
    ]
    accrued, deferred = draw(st.one_of(either, fine)), draw(either)
    tax = draw(st.dictionaries(st.sampled_from(("DE", "US-CA")), either, max_size=2))
    rounding = accrued - accrued.quantize(Decimal("0.01"))
    due = accrued - rounding + deferred + sum(tax.values()) - sum((use.amount for use in uses), ZERO)
    used = draw(st.one_of(st.just(ZERO), some)) if due > 0 else ZERO
    used = min(used, max(due, ZERO))
    return {
        "customer_key": "cus-1", "currency": "USD", "receivable": max(due - used, ZERO), "accrued_cleared": accrued,
        "deferred": deferred, "tax": tax, "rounding": rounding, "credits": uses, "balance_used": used,
        "balance_added": max(-due, ZERO), "contract": draw(CONTRACT["contract"]),
    }  # fmt: skip


@st.composite
def credited(draw: st.DrawFn, *, earned: bool, refund: bool) -> Given:
    """What a document gives back: exact parts, and whole sums that they are rounded to."""
    parts: Given = {"unearned": draw(fine), "tax": draw(taxes)}
    if earned:
        parts["earned"] = draw(none_or_some)
    exact = parts["unearned"] + parts.get("earned", ZERO) + sum(parts["tax"].values())
    whole = exact.quantize(Decimal("0.01"))
    cuts = sorted(min(draw(none_or_some), whole) for _ in range(1 + refund))
    names = ("open_invoices", "balance", "refund")[: 2 + refund]
    sums = [high - low for low, high in zip([ZERO, *cuts], [*cuts, whole], strict=True)]
    return {
        "customer_key": "cus-1", "currency": "USD", **parts, **dict(zip(names, sums, strict=True)),
        "rounding": whole - exact, "contract": draw(CONTRACT["contract"]),
    }  # fmt: skip


@st.composite
def written_off(draw: st.DrawFn) -> Given:
    tax, unearned, allowance, lost = draw(taxes), draw(none_or_some), draw(none_or_some), draw(some)
    return {
        "customer_key": "cus-1", "currency": "USD", "tax_relief": tax, "unearned": unearned,
        "from_allowance": allowance, "receivable": sum(tax.values(), ZERO) + unearned + allowance + lost,
        "contract": draw(CONTRACT["contract"]),
    }  # fmt: skip


@st.composite
def recovered(draw: st.DrawFn) -> Given:
    tax, allowance, lost = draw(taxes), draw(none_or_some), draw(some)
    total = sum(tax.values(), ZERO) + allowance + lost
    return {"customer_key": "cus-1", "currency": "USD", "tax": tax, "to_allowance": allowance, "amount": total}


@st.composite
def paid_with_rest(draw: st.DrawFn) -> Given:
    applied, rest = draw(none_or_some), draw(none_or_some)
    whole = applied + rest or Decimal(1)
    return {"customer_key": "cus-1", "currency": "USD", "amount": whole, "applied": min(applied, whole)}


@st.composite
def paid_back(draw: st.DrawFn) -> Given:
    kept, owed = draw(none_or_some), draw(some)
    return {
        "customer_key": "cus-1",
        "currency": "USD",
        "amount": kept + owed,
        "from_balance": kept,
        "fee": draw(none_or_some),
    }


@st.composite
def lost_dispute(draw: st.DrawFn) -> Given:
    uses = [
        CreditUse("paid", f"u-{number}", draw(fine), None, "9110", draw(some), "USD", "2005")
        for number in range(draw(st.integers(0, 2)))
    ]
    return {
        "dispute": "dp-1", "customer_key": "cus-1", "currency": "USD", "earned": draw(some),
        "unearned": draw(none_or_some), "tax": draw(taxes), "unit": "credits", "unused_units": uses,
        "unused_credit": draw(st.dictionaries(st.sampled_from(("g-1", "g-2")), none_or_some)),
        "contract": draw(CONTRACT["contract"]),
    }  # fmt: skip


@st.composite
def opened(draw: st.DrawFn) -> Given:
    route = routes.BY_TYPE[routes.OPENING_BALANCE]
    code = draw(st.sampled_from([c for c in route.debits + route.credits if c not in ("3000", "9000", "9100")]))
    row = BY_CODE[code]
    return {
        "code": code, "unit": "USD", "amount": draw(some), "customer_key": "cus-1" if row.takes_customer else "",
        "dimension": "x" if row.dimension else "",
    }  # fmt: skip


@dataclass(frozen=True)
class Act:
    """A movement, what it may be given, and which of its amounts may be negative."""

    kind: str
    build: Callable[..., Lines]
    terms: st.SearchStrategy[Given]
    signed: tuple[str, ...] = ()


def of(**terms: st.SearchStrategy[Any]) -> st.SearchStrategy[Given]:
    return st.fixed_dictionaries(terms)


refund_parts = {"earned": some, "unearned": none_or_some, "tax": taxes, "from_balance": none_or_some}
_given_kinds = ("promotional", "goodwill", "included")

ACTS: dict[str, Act] = {
    "usage accrued": Act(
        routes.USAGE_ACCRUED, movements.usage_accrued, of(**WHO, unit=st.just("USD"), amount=either), ("amount",)
    ),
    "overage": Act(
        routes.USAGE_OVERAGE, movements.usage_overage, of(**WHO, unit=st.just("USD"), amount=either), ("amount",)
    ),
    "fee": Act(
        routes.FEE_RECOGNISED, movements.fee_recognised, of(**WHO, **CONTRACT, unit=st.just("USD"), amount=fine)
    ),
    "invoice": Act(
        routes.INVOICE_FINALIZED,
        movements.invoice_finalized,
        invoiced(),
        ("accrued_cleared", "deferred", "rounding", "tax"),
    ),
    "top-up": Act(routes.TOPUP_INVOICED, movements.topup_invoiced, of(**WHO, **USD, price=some, tax=taxes)),
    "top-up given up": Act(routes.TOPUP_VOIDED, movements.topup_voided, of(**WHO, **USD, price=some, tax=taxes)),
    "credit note": Act(
        routes.CREDIT_NOTE_ISSUED,
        movements.credit_note_issued,
        credited(earned=True, refund=True),
        ("rounding",),
    ),
    "proration": Act(
        routes.PLAN_PRORATED, movements.plan_prorated, credited(earned=False, refund=False), ("rounding",)
    ),
    "write-off": Act(routes.DEBT_WRITTEN_OFF, movements.debt_written_off, written_off()),
    "allowance": Act(routes.ALLOWANCE_BOOKED, movements.allowance_booked, of(**USD, amount=either), ("amount",)),
    "recovery": Act(routes.DEBT_RECOVERED, movements.debt_recovered, recovered()),
    "remittance": Act(
        routes.TAX_REMITTED, movements.tax_remitted, of(**USD, tax=taxes.filter(lambda tax: sum(tax.values()) > 0))
    ),
    "payment": Act(routes.PAYMENT_SUCCEEDED, movements.payment_succeeded, paid_with_rest()),
    "balance": Act(routes.BALANCE_APPLIED, movements.balance_applied, of(**WHO, **USD, amount=some)),
    "fee of a payment": Act(routes.PAYMENT_FEE, movements.payment_fee, of(**USD, amount=either), ("amount",)),
    "payment back": Act(routes.PAYMENT_RETURNED, movements.payment_returned, paid_back()),
    "payout": Act(routes.PAYOUT_CREATED, movements.payout_created, of(**USD, amount=some)),
    "payout paid": Act(routes.PAYOUT_PAID, movements.payout_paid, of(**USD, amount=some)),
    "payout failed": Act(routes.PAYOUT_FAILED, movements.payout_failed, of(**USD, amount=some)),
    "refund": Act(routes.REFUND_REQUESTED, movements.refund_requested, of(**WHO, **USD, **CONTRACT, **refund_parts)),
    "refund failed": Act(routes.REFUND_FAILED, movements.refund_failed, of(**WHO, **USD, **CONTRACT, **refund_parts)),
    "refund left": Act(routes.REFUND_SUCCEEDED, movements.refund_succeeded, of(**USD, amount=some)),
    "refund back": Act(routes.REFUND_RETURNED, movements.refund_returned, of(**USD, amount=some)),
    "dispute": Act(
        routes.DISPUTE_OPENED, movements.dispute_opened, of(**USD, dispute=st.just("d"), amount=some, fee=none_or_some)
    ),
    "dispute won": Act(
        routes.DISPUTE_WON,
        movements.dispute_won,
        of(**USD, dispute=st.just("d"), amount=some, fee_returned=none_or_some),
    ),
    "dispute lost": Act(routes.DISPUTE_LOST, movements.dispute_lost, lost_dispute()),
    "other currency": Act(
        routes.FX_SETTLED,
        movements.fx_settled,
        of(**WHO, **USD, applied=some, paid_currency=st.just("EUR"), paid=some, excess=none_or_some),
    ),
    "position": Act(routes.FX_REVALUED, movements.fx_revalued, of(**USD, gain=either), ("gain",)),
    "grant": Act(routes.CREDIT_GRANTED, movements.credit_granted, given_credit()),
    "void": Act(routes.CREDIT_VOIDED, movements.credit_voided, given_credit()),
    "expiry": Act(routes.CREDIT_EXPIRED, movements.credit_expired, expired()),
    "purchase": Act(routes.CREDIT_BOUGHT, movements.credit_bought, bought()),
    "draw": Act(routes.CREDIT_DRAWN, movements.credit_drawn, drawn()),
    "cover": Act(routes.CREDIT_COVERED, movements.credit_covered, covered()),
    "return": Act(routes.CREDIT_RETURNED, movements.credit_returned, returned()),
    "refund of credit": Act(routes.CREDIT_REFUNDED, movements.credit_refunded, refunded(), ("rounding",)),
    "transfer": Act(routes.CREDIT_TRANSFERRED, movements.credit_moved, moved(kinds=tuple(_ON), to="cus-2")),
    "rollover": Act(routes.CREDIT_ROLLED_OVER, movements.credit_moved, moved(kinds=_given_kinds, to="cus-1")),
    "opening": Act(routes.OPENING_BALANCE, movements.opening_balance, opened()),
}  # fmt: skip

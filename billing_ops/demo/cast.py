"""Who is in the demo: plans and fourteen customers, as data."""

from dataclasses import dataclass, field
from decimal import Decimal

from plans.rules.prices import Tier
from plans.rules.specs import PriceSpec, VersionSpec

CONTEXT, GENERATED = "context-tokens", "generated-tokens"


OSPREY, WREN = "osprey", "wren"


def _tokens(*, included: int, first: str, bulk: str, generated: str) -> tuple[PriceSpec, ...]:
    return (
        PriceSpec(
            key="context",
            name="Context tokens",
            model="graduated",
            included_units=Decimal(included),
            tiers=(Tier(Decimal(20_000_000), Decimal(first)), Tier(None, Decimal(bulk))),
            meter=CONTEXT,
        ),
        PriceSpec(
            key="generated", name="Generated tokens", model="per_unit", unit_amount=Decimal(generated), meter=GENERATED
        ),
    )


def _fee(amount: str) -> PriceSpec:
    return PriceSpec(key="platform", name="Platform fee", model="flat", unit_amount=Decimal(amount))


PLANS: dict[str, tuple[str, VersionSpec]] = {
    "pro": (
        "Pro",
        VersionSpec(
            currency="USD",
            prices=(
                _fee("20"),
                *_tokens(included=1_000_000, first="0.000003", bulk="0.0000024", generated="0.000015"),
            ),
        ),
    ),
    "scale": (
        "Scale",
        VersionSpec(
            currency="USD",
            prices=(
                _fee("500"),
                *_tokens(included=25_000_000, first="0.0000025", bulk="0.0000018", generated="0.000012"),
            ),
        ),
    ),
    "prepaid": (
        "Prepaid",
        VersionSpec(
            currency="USD",
            prices=(
                PriceSpec(
                    key="context",
                    name="Context tokens",
                    model="per_unit",
                    unit_amount=Decimal("0.0000035"),
                    meter=CONTEXT,
                    settlement="drawdown",
                ),
                PriceSpec(
                    key="generated",
                    name="Generated tokens",
                    model="per_unit",
                    unit_amount=Decimal("0.000017"),
                    meter=GENERATED,
                    settlement="drawdown",
                ),
            ),
        ),
    ),
    "pro-eur": (
        "Pro (EUR)",
        VersionSpec(
            currency="EUR",
            prices=(
                _fee("19"),
                *_tokens(included=1_000_000, first="0.0000028", bulk="0.0000022", generated="0.000014"),
            ),
        ),
    ),
}


@dataclass(frozen=True)
class Member:
    """One customer: plan, the day of the first month it joined, its card, and how busy it is (requests a weekday)."""

    key: str
    name: str
    plan: str
    joined_day: int
    requests_a_day: int
    email: str
    card: str = "pm_card_visa"
    time_zone: str = "America/New_York"
    address: dict[str, str] = field(default_factory=dict)


def _us(line1: str, city: str, region: str, postal_code: str) -> dict[str, str]:
    return {"line1": line1, "city": city, "region": region, "postal_code": postal_code, "country": "US"}


CAST: tuple[Member, ...] = (
    Member("northwind", "Northwind Robotics", "scale", 1, 60, "ap@northwind.example",
           address=_us("500 Harbor Ave", "Boston", "MA", "02110")),
    Member("halcyon", "Halcyon Legal LLP", "pro", 3, 26, "office@halcyonlegal.example",
           address=_us("88 Market St", "Philadelphia", "PA", "19106")),
    Member("juniper", "Juniper Health", "scale", 5, 48, "billing@juniperhealth.example", card="pm_card_mastercard",
           time_zone="America/Chicago", address=_us("1200 Lake Dr", "Chicago", "IL", "60611")),
    Member("tidewater", "Tidewater Labs", "pro", 8, 22, "finance@tidewaterlabs.example",
           address=_us("41 Wharf Rd", "Norfolk", "VA", "23510")),
    Member("brightline", "Brightline Tutors", "pro", 10, 18, "hello@brightline.example", card="pm_card_amex",
           time_zone="America/Denver", address=_us("9 Alder Ct", "Boulder", "CO", "80302")),
    Member("copperfield", "Copperfield Media", "pro", 12, 30, "accounts@copperfield.example",
           card="pm_card_chargeCustomerFail", address=_us("770 Broadway", "New York", "NY", "10003")),
    Member("kestrel", "Kestrel Analytics", "pro", 14, 34, "kestrel@kestrel.example",
           time_zone="America/Los_Angeles", address=_us("3 Pier Lane", "San Diego", "CA", "92101")),
    Member("solstice", "Solstice Games", "scale", 15, 55, "money@solstice.example",
           time_zone="America/Los_Angeles", address=_us("2600 Pine St", "Seattle", "WA", "98101")),
    Member("ostrava", "Ostrava Logistik s.r.o.", "pro-eur", 18, 24, "ucetni@ostravalog.example", card="pm_card_de",
           time_zone="Europe/Prague", address={"line1": "Nádražní 12", "city": "Ostrava", "postal_code": "702 00",
                                               "country": "CZ", "tax_id": "CZ12345678"}),
    Member("himal", "Himal Maps Pvt. Ltd.", "pro", 20, 20, "accounts@himalmaps.example",
           time_zone="Asia/Kathmandu", address={"line1": "Durbar Marg 7", "city": "Kathmandu", "postal_code": "44600",
                                                "country": "NP"}),
    Member("ferncliff", "Ferncliff University", "scale", 22, 40, "procurement@ferncliff.example",
           address=_us("1 College Hill", "Ithaca", "NY", "14850")),
    Member("lumen", "Lumen & Daughters", "pro-eur", 25, 14, "contabilita@lumen.example",
           time_zone="Europe/Rome", address={"line1": "Via Roma 3", "city": "Torino", "postal_code": "10121",
                                             "country": "IT", "tax_id": "IT01234567890"}),
    Member(OSPREY, "Osprey Voice Inc.", "prepaid", 6, 45, "ops@ospreyvoice.example",
           address=_us("17 Quay St", "Portland", "ME", "04101")),
    Member(WREN, "Wren Studio", "pro", 9, 12, "studio@wren.example", card="pm_card_mastercard",
           time_zone="America/Chicago", address=_us("640 Olive St", "St. Louis", "MO", "63101")),
)  # fmt: skip
"""Copperfield's card fails; Kestrel's promotional credits run out; Juniper got a goodwill credit; Osprey pays before it
uses, and tops up by itself; Wren gets the company's own credits every month and draws them day by day."""

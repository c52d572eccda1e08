"""Stripe's test cards, by the names of their test payment methods and tokens."""

from dataclasses import dataclass

from billing_ops.stripe_standin.errors import Json


@dataclass(frozen=True)
class Card:
    """``decline`` is what a charge answers; ``saves`` tells whether the card can be attached to a customer at all."""

    brand: str
    last4: str
    decline: str | None = None
    saves: bool = True
    country: str = "US"
    funding: str = "credit"


@dataclass(frozen=True)
class Decline:
    """A refusal by the issuer, as the API words it."""

    code: str
    decline_code: str | None
    message: str
    network_code: str | None
    advice: str | None


def _refused(last4: str, decline: str) -> Card:
    """Stripe verifies a card when it is attached: these fail there already."""
    return Card("visa", last4, decline, saves=False)


CARDS: dict[str, Card] = {
    "visa": Card("visa", "4242"),
    "visa_debit": Card("visa", "5556", funding="debit"),
    "mastercard": Card("mastercard", "4444"),
    "amex": Card("amex", "0005"),
    "discover": Card("discover", "1117"),
    "gb": Card("visa", "0000", country="GB"),
    "de": Card("visa", "0016", country="DE"),
    "chargeCustomerFail": Card("visa", "0341", "generic_decline"),
    "authenticationRequired": Card("visa", "3184", "authentication_required"),
    "chargeDeclined": _refused("0002", "generic_decline"),
    "chargeDeclinedInsufficientFunds": _refused("9995", "insufficient_funds"),
    "chargeDeclinedLostCard": _refused("9987", "lost_card"),
    "chargeDeclinedStolenCard": _refused("9979", "stolen_card"),
    "chargeDeclinedExpiredCard": _refused("0069", "expired_card"),
    "chargeDeclinedIncorrectCvc": _refused("0127", "incorrect_cvc"),
    "chargeDeclinedProcessingError": _refused("0119", "processing_error"),
    "chargeDeclinedVelocityLimitExceeded": _refused("6975", "card_velocity_exceeded"),
}

_DECLINED = "Your card was declined."
DECLINES: dict[str, Decline] = {
    "generic_decline": Decline("card_declined", "generic_decline", _DECLINED, "05", "try_again_later"),
    "insufficient_funds": Decline(
        "card_declined", "insufficient_funds", "Your card has insufficient funds.", "51", "try_again_later"
    ),
    "lost_card": Decline("card_declined", "lost_card", _DECLINED, "41", "do_not_try_again"),
    "stolen_card": Decline("card_declined", "stolen_card", _DECLINED, "43", "do_not_try_again"),
    "expired_card": Decline("expired_card", "expired_card", "Your card has expired.", "54", "confirm_card_data"),
    "incorrect_cvc": Decline(
        "incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect.", "N7", "confirm_card_data"
    ),
    "processing_error": Decline(
        "processing_error",
        "processing_error",
        "An error occurred while processing your card. Try again in a little bit.",
        "96",
        "try_again_later",
    ),
    "card_velocity_exceeded": Decline(
        "card_declined",
        "card_velocity_exceeded",
        "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
        "65",
        "try_again_later",
    ),
    "authentication_required": Decline(
        "authentication_required",
        "authentication_required",
        "Your card was declined. This transaction requires authentication.",
        None,
        None,
    ),
}


def lookup(id: str) -> Card | None:
    """The card behind ``pm_card_visa`` or ``tok_visa``; Stripe also knows ``…_visa_chargeDeclined…`` names."""
    for prefix in ("pm_card_", "tok_"):
        if id.startswith(prefix):
            name = id.removeprefix(prefix)
            return CARDS.get(name) or CARDS.get(name.removeprefix("visa_"))
    return None


def details(card: Card, fingerprint: str, exp_year: int) -> Json:
    """The ``card`` hash of a payment method."""
    return {
        "brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": card.country,
        "display_brand": card.brand,
        "exp_month": 12,
        "exp_year": exp_year,
        "fingerprint": fingerprint,
        "funding": card.funding,
        "generated_from": None,
        "last4": card.last4,
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }

"""The bodies of the draws' hot path: read and written by msgspec, described for the OpenAPI document by hand."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec

from billing_ops.kit.errors import BillingError, InvalidInput
from billing_ops.kit.http.body import MalformedBody
from billing_ops.kit.http.fields import AMOUNT_PATTERN, FIRST_INSTANT
from billing_ops.kit.money import plain
from ledger.drawn import Drawn
from ledger.rules.draws import Order

MAX_ITEMS: Final = 10_000

_END: Final = r"\Z"
_Amount = Annotated[str, msgspec.Meta(pattern=AMOUNT_PATTERN[:-1] + _END, max_length=29)]
_Customer = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}" + _END)]
_Unit = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,23}" + _END)]
_DrawKey = Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]{1,200}" + _END)]
_Text100 = Annotated[str, msgspec.Meta(max_length=100)]
_Text200 = Annotated[str, msgspec.Meta(max_length=200)]
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class BodyInvalid(InvalidInput):
    """A body that is JSON and not what the operation reads; ``details["field"]`` says where."""

    code = "request.invalid"


class DrawIn(msgspec.Struct, forbid_unknown_fields=True):
    """A draw that is asked for."""

    customer: _Customer
    unit: _Unit
    amount: _Amount
    key: _DrawKey
    feature: _Text100 = ""
    used_at: _Instant | None = None
    usage_ref: _Text200 = ""
    policy: Literal["all", "partial", "overage"] = "all"


class DrawsIn(msgspec.Struct, forbid_unknown_fields=True):
    """Draws that are asked for in one request."""

    draws: Annotated[list[DrawIn], msgspec.Meta(min_length=1, max_length=MAX_ITEMS)]


class GrantPart(msgspec.Struct):
    """What was taken from one grant."""

    credit: str
    amount: str


class DrawOut(msgspec.Struct):
    """The answer to one draw."""

    id: int
    key: str
    outcome: str
    amount: str
    drawn: str
    shortfall: str
    overage: str | None
    overage_currency: str
    used_at: datetime
    replayed: bool
    credits: list[GrantPart]


class OutcomeOut(msgspec.Struct, omit_defaults=True):
    """What became of one draw of many; ``code`` and ``message`` say why it has none."""

    key: str
    outcome: str
    id: int | None = None
    drawn: str | None = None
    shortfall: str | None = None
    overage: str | None = None
    replayed: bool = False
    code: str | None = None
    message: str | None = None


class OutcomesOut(msgspec.Struct):
    """The outcomes in the order of the draws, and how many of each."""

    counts: dict[str, int]
    outcomes: list[OutcomeOut]


encode: Final = msgspec.json.Encoder().encode
_one: Final = msgspec.json.Decoder(DrawIn)
_many: Final = msgspec.json.Decoder(DrawsIn)


def read_draw(raw: bytes) -> Order:
    """One draw. Raises :class:`BodyInvalid`, ``MalformedBody``."""
    return order_of(_read(_one, raw))


def read_draws(raw: bytes) -> list[Order]:
    """Many draws. Raises :class:`BodyInvalid`, ``MalformedBody``."""
    return [order_of(one) for one in _read(_many, raw).draws]


def order_of(asked: DrawIn) -> Order:
    """What a body asks for."""
    used_at = asked.used_at
    if used_at is not None:
        used_at = used_at.astimezone(UTC)
        if used_at < FIRST_INSTANT:
            raise BodyInvalid("used_at: write an instant of the years 2000 to 2199.", field="used_at")
    return Order(
        asked.customer,
        asked.unit,
        Decimal(asked.amount),
        asked.key,
        asked.feature,
        used_at,
        asked.usage_ref,
        asked.policy,
    )


def draw_out(drawn: Drawn) -> DrawOut:
    """One answer as it is sent."""
    return DrawOut(
        drawn.id,
        drawn.key,
        drawn.outcome,
        plain(drawn.amount),
        plain(drawn.drawn),
        plain(drawn.shortfall),
        None if drawn.overage is None else plain(drawn.overage),
        drawn.overage_currency,
        drawn.used_at.astimezone(UTC),
        drawn.replayed,
        [GrantPart(credit, plain(amount)) for credit, amount in drawn.allocations],
    )


def outcomes_out(orders: Sequence[Order], answers: Sequence[Drawn | BillingError]) -> OutcomesOut:
    """Many answers as they are sent."""
    counts = {"accepted": 0, "partial": 0, "overage": 0, "refused": 0, "failed": 0}
    outcomes = []
    for order, answer in zip(orders, answers, strict=True):
        if isinstance(answer, Drawn):
            counts[answer.outcome] += 1
            outcomes.append(
                OutcomeOut(
                    order.key,
                    answer.outcome,
                    answer.id,
                    plain(answer.drawn),
                    plain(answer.shortfall),
                    None if answer.overage is None else plain(answer.overage),
                    answer.replayed,
                )
            )
        else:
            counts["failed"] += 1
            outcomes.append(OutcomeOut(order.key, "failed", code=answer.code, message=answer.message))
    return OutcomesOut(counts, outcomes)


def _read(decoder: Any, raw: bytes) -> Any:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `$")
        field = place.strip("`.").replace("[", "").replace("]", "")
        raise BodyInvalid(f"{field or 'The body'}: {said}.", field=field or "body") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedBody(f"The body is not JSON: {error}.") from None

"""Whatever arrives, reading it ends in a value or in a refusal by name."""

import contextlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from billing_ops.kit.http import auth, body, cursors, idempotency
from billing_ops.kit.http.fields import AmountText, DecimalText, Instant
from billing_ops.kit.http.rendering import dumps, rfc3339
from metering.rules.payload import EventRefusal, check, decode

AT = datetime(2025, 1, 1, tzinfo=UTC)
EARLIEST = datetime(2000, 1, 1)  # noqa: DTZ001  # hypothesis adds the zone
LATEST = datetime(2199, 12, 31, 23, 59, 59, 999999)  # noqa: DTZ001
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | TEXT | st.decimals(-1000, 1000, places=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def as_sent(value: Any) -> str:
    """JSON text with decimals as numbers."""
    return json.dumps(value, default=float)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(body.MalformedBody):
        body.parse(raw)


@given(st.from_regex(r"-?[0-9]{1,5}(\.[0-9]{1,5})?[eE][+-]?[0-9]{1,25}", fullmatch=True))
def test_a_number_with_any_exponent_is_read_small_or_refused(number: str) -> None:
    with contextlib.suppress(body.MalformedBody):
        assert len(dumps(body.parse(f'{{"n": {number}}}'.encode()))) < 200, "written out it stays short"
    with contextlib.suppress(EventRefusal):
        check(decode(f'{{"n": {number}}}'.encode()), "data", 1)


@given(JSON)
def test_any_json_is_read_as_it_was_sent(value: Any) -> None:
    text = as_sent(value)
    assert body.parse(text.encode()) == json.loads(text, parse_float=Decimal)


@given(st.text(max_size=120))
def test_any_authorization_header_is_refused_without_asking_the_database(header: str) -> None:
    with pytest.raises(auth.Unauthenticated):
        auth.authenticate(header, scope="events:write", at=AT)


@given(st.text(max_size=200))
def test_any_cursor_is_refused_unless_it_is_ours(cursor: str) -> None:
    if cursor:
        with pytest.raises(cursors.CursorInvalid):
            cursors.unseal("listing", {}, cursor)


@given(st.lists(st.integers() | TEXT, max_size=3), st.dictionaries(TEXT, TEXT, max_size=3))
def test_a_cursor_gives_back_the_position_that_it_holds(position: list[Any], filters: dict[str, str]) -> None:
    sealed = cursors.seal("listing", filters, position)
    assert cursors.unseal("listing", dict(reversed(filters.items())), sealed) == position
    assert all(char.isascii() and (char.isalnum() or char in "-_.=") for char in sealed), "it fits into a URL"


@given(JSON, JSON)
def test_requests_differ_exactly_where_differences_says(one: Any, other: Any) -> None:
    one, other = json.loads(dumps(one)), json.loads(dumps(other))  # as they are kept: decimals are strings
    found = idempotency.differences(one, other)
    assert bool(found) == (json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True))
    assert idempotency.differences(one, one) == []
    assert sorted(idempotency.differences(other, one)) == sorted(found)


@given(st.text(max_size=30) | JSON)
def test_an_amount_is_a_plain_decimal_or_refused(value: Any) -> None:
    for kind in (AmountText, DecimalText):
        try:
            read: Any = TypeAdapter(kind).validate_python(value)
        except ValidationError:
            continue
        assert isinstance(value, str)
        assert Decimal(read) == Decimal(value)
        assert Decimal(read).is_finite()
        assert Decimal(read) >= 0


@given(st.datetimes(EARLIEST, LATEST, timezones=st.just(UTC)))
def test_an_instant_survives_the_way_out_and_in(instant: datetime) -> None:
    assert TypeAdapter(Instant).validate_python(rfc3339(instant)) == instant
    assert json.loads(dumps(instant)) == rfc3339(instant)


@given(st.datetimes(timezones=st.timezones()).filter(lambda one: not 2000 <= one.year < 2200))
def test_an_instant_of_another_age_is_refused_by_name(instant: datetime) -> None:
    zone = instant.strftime("%z")[:5]
    text = f"{instant:%H:%M:%S}{zone[:3]}:{zone[3:]}"
    with pytest.raises(ValidationError, match=r"years 2000 to 2199|write an instant with its zone"):
        TypeAdapter(Instant).validate_python(f"{instant.year:04}-{instant:%m-%d}T{text}")


@given(st.text(max_size=40) | st.integers() | st.floats() | st.none())
def test_anything_else_is_not_an_instant(value: Any) -> None:
    with pytest.raises(ValidationError, match="write an instant with its zone"):
        TypeAdapter(Instant).validate_python(value)

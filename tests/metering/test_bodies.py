"""A body is split into events without ever making many more of them than are allowed."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_ops.kit.errors import BillingError
from metering.rules import bodies
from tests.metering.support import cloud_event

SIZE = 9_000_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('ab[]{}\\",', max_size=4), inner, max_size=4),
    max_leaves=12,
)
HOSTILE: dict[str, tuple[bytes, str, str]] = {
    "ones": (b"[" + b"1," * (SIZE // 2) + b"1]", bodies.BATCH, "events.too_many"),
    "objects": (b"[" + b"{}," * (SIZE // 3) + b"{}]", bodies.BATCH, "events.too_many"),
    "just below counting": (b"[" + b"1," * bodies.MANY_COMMAS + b"1]", bodies.BATCH, "events.too_many"),
    "texts with commas": (b"[" + b'",],[",' * (SIZE // 7) + b"1]", bodies.BATCH, "events.too_many"),
    "lines": (b"1\n" * (SIZE // 2), "application/x-ndjson", "events.too_many"),
    "a deep head": (b"[" * SIZE, bodies.BATCH, "events.too_nested"),
    "a deep event": (b"[" + b"[" * (SIZE // 2) + b"]" * (SIZE // 2) + b"]", bodies.BATCH, "events.too_nested"),
    "many deep events": (
        b"[" + b"[" * 30_000 + (b"]" * 30_000 + b"," + b"[" * 30_000) * 140,
        bodies.BATCH,
        "events.too_nested",
    ),
    "an endless text": (b'["' + b"a," * (SIZE // 2), bodies.BATCH, "events.malformed_json"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_is_refused_in_little_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body, media_type, code = HOSTILE[name]
    monkeypatch.setattr(bodies, "MAX_STEPS", 50_000)  # tracing memory makes each of them slow
    tracemalloc.start()
    try:
        with pytest.raises(BillingError) as refused:
            bodies.split(body, media_type)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused.value.code == code
    assert peak < 40_000_000, "of a body of 9 MB"


def test_as_many_events_as_are_allowed_are_split_however_rich_they_are() -> None:
    data = {f"p{n}": f'"], {n}' for n in range(40)}
    event = json.dumps(cloud_event(1, data=data)).encode()
    body = b"[" + b",\n".join([event] * 7_000) + b"]"
    assert body.count(b",") > bodies.MANY_COMMAS
    assert len(body) <= bodies.MAX_BODY_BYTES
    assert bodies.split(body, bodies.BATCH) == ([event] * 7_000, False)


def test_lines_are_events_unless_they_are_empty() -> None:
    body = b'\n  \r\n{"a": 1}\r\n\t{"b": 2}\n\nnot json'
    assert bodies.split(body, "application/x-ndjson") == ([b'{"a": 1}\r', b'{"b": 2}', b"not json"], False)
    assert len(bodies.split(b"1\n" * bodies.MAX_EVENTS, "application/x-ndjson")[0]) == bodies.MAX_EVENTS


@given(st.lists(JSON, max_size=6))
def test_counting_by_hand_finds_what_the_decoder_finds(elements: list[Any]) -> None:
    body = json.dumps(elements).encode()
    assert bodies._array_by_hand(body) == bodies._array(body)

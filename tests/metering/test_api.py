"""The routes: every way to send events, every answer by its name, and never a 500."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from billing_ops.kit.http import auth
from metering.models import Event, Meter
from metering.rules import bodies
from tests.metering.support import AT, cloud_event, fold_all, raw, sum_meter
from tests.support.api import Api, new_key
from tests.support.clock import VirtualClock

pytestmark = pytest.mark.django_db

SINGLE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
LINES = "application/x-ndjson"


@pytest.fixture
def api(db: None, clock: VirtualClock) -> Iterator[Api]:
    auth.forget()
    clock.set(AT)
    yield Api(key=new_key("events:write", "usage:read", "meters:read", "meters:write", at=AT))
    auth.forget()


def send(api: Api, body: bytes, content_type: str = "application/json") -> Any:
    return api.raw("POST", "/events", body, type=content_type, idem=None)


def problem(answer: Any) -> tuple[int, str]:
    assert answer.headers["Content-Type"].startswith("application/problem+json"), answer.content
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (SINGLE, raw(1)),
        ("application/json", b" \n" + raw(1)),
        ("application/json; charset=utf-8", b"[" + raw(1) + b"]"),
        (BATCH, b"[" + raw(1) + b"]"),
        (LINES, raw(1) + b"\n"),
        ("application/x-ndjson; charset=UTF-8", b"\r\n\n" + raw(1)),
        ("application/jsonl", raw(1)),
    ],
)
def test_an_event_is_taken_in_every_form_and_is_the_same_event(api: Api, content_type: str, body: bytes) -> None:
    answer = send(api, body, content_type)
    assert answer.status_code == 200, answer.content
    assert answer.json() == {
        "accepted": 1,
        "duplicate": 0,
        "conflict": 0,
        "rejected": 0,
        "batch": Event.objects.get().batch_id,
        "outcomes": [{"index": 0, "id": "ev-1", "outcome": "accepted"}],
    }
    again = send(api, raw(1), SINGLE).json()
    assert (again["duplicate"], again["batch"], again["outcomes"][0]["outcome"]) == (1, None, "duplicate")


def test_a_batch_names_each_outcome_in_its_order(api: Api) -> None:
    send(api, raw(1))
    body = json.dumps([cloud_event(1), cloud_event(1, subject="x"), cloud_event(2, time="2025-03-14T10:00:00"), {}, 7])
    answer = send(api, body.encode(), BATCH)
    assert answer.status_code == 200
    assert [(o["index"], o["outcome"], o.get("code")) for o in answer.json()["outcomes"]] == [
        (0, "duplicate", "event.duplicate"),
        (1, "conflict", "event.conflict"),
        (2, "rejected", "event.time_naive"),
        (3, "rejected", "event.specversion"),
        (4, "rejected", "event.not_an_object"),
    ]
    lines = b"\n".join([raw(3), b'{"specversion": NaN}', raw(4)])
    assert [o["outcome"] for o in send(api, lines, LINES).json()["outcomes"]] == ["accepted", "rejected", "accepted"]


def test_a_single_event_that_is_not_taken_is_a_problem(api: Api) -> None:
    answer = send(api, raw(1, time="2020-01-01T00:00:00Z"))
    assert problem(answer) == (422, "event.rejected")
    assert answer.json()["details"]["outcome"]["code"] == "event.too_old"
    send(api, raw(1))
    answer = send(api, raw(1, subject="other"))
    assert problem(answer) == (409, "event.conflict")


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code", "offset"),
    [
        (b'[{"a": 1,]', BATCH, 400, "events.malformed_json", 9),
        (b'{"specversion": NaN}', SINGLE, 400, "events.malformed_json", 16),
        (b"[1, 2", BATCH, 400, "events.malformed_json", 5),
        (b" ", "application/json", 400, "events.malformed_json", 1),
        (b"[] x", "application/json", 400, "events.malformed_json", 4),
        (b"\xef\xbb\xbf[]", "application/json", 400, "events.malformed_json", 0),
        (b"{}", BATCH, 415, "events.media_type", None),
        (b"[]", SINGLE, 415, "events.media_type", None),
        (b"{}", "text/plain", 415, "events.media_type", None),
        (b"{}", "application/json; charset=latin-1", 415, "events.media_type", None),
        (b"[" + b"1," * 10_000 + b"1]", BATCH, 413, "events.too_many", None),
        (b"1\n" * 10_001, LINES, 413, "events.too_many", None),
        (b" " * (bodies.MAX_BODY_BYTES + 1), BATCH, 413, "body.too_large", None),
    ],
)
def test_a_body_that_is_no_list_of_events_is_refused_as_a_whole(
    *, api: Api, body: bytes, content_type: str, status: int, code: str, offset: int | None
) -> None:
    answer = send(api, body, content_type)
    assert problem(answer) == (status, code)
    if offset is not None:
        assert answer.json()["details"]["offset"] == offset
    assert not Event.objects.exists()


NESTED = b'{"a":' * 5_000 + b"1" + b"}" * 5_000
HOSTILE = {
    "event.too_deep": raw(1, data={"n": 1}).replace(b'{"n": 1}', b'{"n": ' + b"[" * 40 + b"]" * 40 + b"}"),
    "event.number_out_of_range": raw(1, data={"n": 1}).replace(b'"n": 1', b'"n": ' + b"9" * 400),
    "event.duplicate_key": raw(1, data={"n": 1}).replace(b'"n": 1', b'"n": 1, "n": 2'),
    "event.nul_character": raw(1, data={"n\0": 1}),
    "event.too_large": raw(1, data={"n": "x" * 10_000_000})[:9_999_000] + b'"}}',
    "event.subject_invalid": raw(1, subject="a\tb"),
    "event.id_invalid": raw(1, id="x" * 256),
    "event.attribute_unknown": raw(1, customer_id="cus-1"),
    "event.extension_invalid": raw(1, traceparent={"a": 1}),
    "event.data_not_json": raw(1, data=None, data_base64="AAAA"),
    "event.data_not_an_object": raw(1, data=[1]),
    "event.malformed_json": raw(1, subject="@").replace(b"@", b"\xff\xfe"),
}


@pytest.mark.parametrize(("code", "body"), HOSTILE.items(), ids=HOSTILE)
def test_hostile_events_are_refused_by_name_and_sink_nothing(api: Api, code: str, body: bytes) -> None:
    answer = send(api, b"[" + raw("good") + b"," + body + b"]", BATCH)
    assert answer.status_code == 200, answer.content[:500]
    assert [o.get("code") for o in answer.json()["outcomes"]] == [None, code]
    assert problem(send(api, body, SINGLE))[0] in (400, 422)
    assert Event.objects.count() == 1


def test_an_event_nested_beyond_the_decoder_sinks_neither_the_server_nor_its_batch(api: Api) -> None:
    deep = raw(1, data={"n": 1}).replace(b'{"n": 1}', NESTED)
    answer = send(api, b"[" + raw("a", subject='[",{"') + b" , " + deep + b",\n" + raw("b") + b"]", BATCH)
    assert [o.get("code") for o in answer.json()["outcomes"]] == [None, "event.too_deep", None]
    assert problem(send(api, deep, SINGLE)) == (422, "event.rejected")
    assert problem(send(api, b"[" * 100_000, BATCH)) == (400, "events.malformed_json")
    answer = send(api, b"[" * 100_000 + b"]" * 100_000, BATCH)
    assert [o["code"] for o in answer.json()["outcomes"]] == ["event.too_large"]


def test_keys_and_scopes_guard_the_door(api: Api) -> None:
    assert problem(send(Api(key=None), raw(1)))[0] == 401
    assert problem(send(Api(key=new_key("usage:read", at=AT)), raw(1)))[0] == 403
    assert not Event.objects.exists()


METER = {
    "key": "large-tokens",
    "name": "Tokens of large models",
    "event_type": "llm.request",
    "aggregation": "sum",
    "value_path": "context_tokens",
    "filters": [{"path": "model", "op": "eq", "value": "large"}],
    "unit": "tokens",
}


def test_a_meter_is_defined_once_and_read(api: Api) -> None:
    made = api.post("/meters", METER)
    assert made.status_code == 201, made.content
    assert made.json() == {**METER, "created_at": "2025-03-14T12:30:00Z", "archived_at": None}
    assert api.post("/meters", METER).json() == made.json()
    assert problem(api.post("/meters", {**METER, "unit": "words"})) == (409, "meter.differs")
    assert Meter.objects.count() == 1
    assert api.get("/meters/large-tokens").json() == made.json()
    assert problem(api.get("/meters/none")) == (404, "meter.not_found")
    assert [m["key"] for m in api.get("/meters").json()["items"]] == ["large-tokens"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"aggregation": "max"}, "aggregation"),
        ({"value_path": ""}, "value_path"),
        ({"value_path": "a..b"}, "value_path"),
        ({"value_path": "tokens.0"}, "value_path"),
        ({"aggregation": "count"}, "value_path"),
        ({"filters": [{"path": "model", "op": "like", "value": "l%"}]}, "filters.0.op"),
        ({"filters": [{"path": "model", "op": "eq", "value": 1.5}]}, "filters.0.value"),
        ({"filters": [{"path": "model", "op": "in", "value": []}]}, "filters.0.value"),
        ({"filters": [{"path": "n", "op": "gt", "value": "NaN"}]}, "filters.0.value"),
        ({"filters": [{"path": "n", "op": "exists", "value": 1}]}, "filters.0.value"),
    ],
)
def test_what_cannot_be_a_meter_is_refused_with_its_field(api: Api, change: dict[str, Any], field: str) -> None:
    answer = api.post("/meters", {**METER, **change})
    assert problem(answer) == (422, "meter.invalid")
    assert answer.json()["details"]["field"] == field
    assert not Meter.objects.exists()


def test_usage_is_read_as_a_quantity_by_the_hour_and_as_its_events(api: Api) -> None:
    sum_meter("tokens")
    send(api, b"[" + raw(1) + b"," + raw(2, data={"context_tokens": "0.5"}) + b"," + raw(3, data={}) + b"]")
    period = {
        "meter": "tokens",
        "customer": "cus-1",
        "start": "2025-03-14T16:00:46.680590+05:45",
        "end": "2025-03-15T00:00:00Z",
    }
    for lag in ("0", "0"):
        body = api.get("/usage", period).json()
        assert (body["quantity"], body["events"], body["lag_seconds"]) == ("374.5", 2, lag)
        assert (body["start"], body["as_of"], body["unit"]) == (
            "2025-03-14T10:15:46.680590Z",
            "2025-03-14T12:30:00Z",
            "tokens",
        )
        assert api.get("/usage/hours", period).json() == {
            "hours": [{"hour_start": "2025-03-14T10:00:00Z", "quantity": "374.5", "events": 2}]
        }
        fold_all()
    after = {**period, "start": "2025-03-14T10:15:46.680591Z"}
    assert api.get("/usage", after).json()["quantity"] == "0"
    found = []
    page = api.get("/usage/events", {**period, "limit": 2}).json()
    found += page["items"]
    page = api.get("/usage/events", {**period, "limit": 2, "cursor": page["next_cursor"]}).json()
    found += page["items"]
    assert page["next_cursor"] is None
    assert [(e["event_id"], e["value"], e["verdict"]) for e in found] == [
        ("ev-1", "374", "counted"),
        ("ev-2", "0.5", "counted"),
        ("ev-3", None, "missing"),
    ]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"meter": "none"}, 404, "meter.not_found"),
        ({"end": "2025-03-14T10:00:00Z"}, 422, "period.invalid"),
        ({"start": "2025-03-14T10:00:00"}, 422, "input.invalid"),
        ({"customer": ""}, 422, "input.invalid"),
    ],
)
def test_a_reading_that_cannot_be_is_refused(api: Api, change: dict[str, str], status: int, code: str) -> None:
    sum_meter("tokens")
    query = {
        "meter": "tokens",
        "customer": "c",
        "start": "2025-03-14T10:00:00Z",
        "end": "2025-03-15T00:00:00Z",
        **change,
    }
    answer = api.get("/usage", query)
    assert answer.status_code == status
    if code != "input.invalid":
        assert answer.json()["code"] == code
    unknown = api.get(
        "/usage",
        {
            **query,
            "meter": "tokens",
            "customer": "unknown",
            "start": "2025-03-14T00:00:00Z",
            "end": "2025-03-15T00:00:00Z",
        },
    )
    assert unknown.json()["quantity"] == "0"


@pytest.mark.parametrize("path", ["/usage", "/usage/hours", "/usage/events"])
@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("9999-12-31T23:30:00Z", "9999-12-31T23:59:59Z"),
        ("2199-12-31T23:30:00Z", "2200-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:30:00Z"),
        ("1999-12-31T23:30:00Z", "2000-01-01T00:30:00Z"),
    ],
)
def test_usage_of_another_age_is_refused(api: Api, path: str, start: str, end: str) -> None:
    sum_meter("tokens")
    answer = api.get(path, {"meter": "tokens", "customer": "c", "start": start, "end": end})
    assert problem(answer)[0] == 422
    assert "years 2000 to 2199" in answer.content.decode()


@pytest.mark.parametrize("path", ["/usage", "/usage/hours", "/usage/events"])
def test_usage_is_read_at_both_ends_of_the_age(api: Api, path: str) -> None:
    sum_meter("tokens")
    for start, end in (
        ("2000-01-01T00:00:00Z", "2000-01-01T00:30:00Z"),
        ("2199-12-31T23:30:00Z", "2199-12-31T23:59:59.999999Z"),
    ):
        assert api.get(path, {"meter": "tokens", "customer": "c", "start": start, "end": end}).status_code == 200

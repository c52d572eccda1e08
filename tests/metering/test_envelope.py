"""Reading one event: what is taken, what is refused and by which name."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from metering.rules.envelope import ReadEvent, Window, key_of, read, read_time
from metering.rules.payload import EventRefusal, read_data
from tests.metering.support import AT, raw


def understood(body: bytes) -> ReadEvent:
    return read(body, at=AT, window=Window.live(AT))


def refusal(body: bytes) -> str:
    with pytest.raises(EventRefusal) as caught:
        understood(body)
    assert caught.value.message
    return caught.value.code


def with_number(text: str) -> bytes:
    return raw(1, data={"n": 1}).replace(b'"n": 1', f'"n": {text}'.encode())


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("2023-11-16T18:15:46.6805900Z", "2023-11-16T18:15:46.680590"),
        ("2023-11-16T18:15:46.6805999Z", "2023-11-16T18:15:46.680599"),  # cut off, not rounded
        ("2023-11-16T18:15:46.999999999999Z", "2023-11-16T18:15:46.999999"),
        ("2023-11-16T18:15:46Z", "2023-11-16T18:15:46"),
        ("2023-11-16t18:15:46.5z", "2023-11-16T18:15:46.500000"),
        ("2023-11-16 18:15:46.5+00:00", "2023-11-16T18:15:46.500000"),
        ("2023-11-17T00:00:46+05:45", "2023-11-16T18:15:46"),
        ("2023-11-16T13:15:46-05:00", "2023-11-16T18:15:46"),
        ("2024-02-29T00:00:00-00:00", "2024-02-29T00:00:00"),
    ],
)
def test_times_are_read_as_utc_microseconds(sent: str, stored: str) -> None:
    assert read_time(sent) == datetime.fromisoformat(stored).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("2023-11-16T18:15:46", "event.time_naive"),
        ("2023-11-16T18:15:46.68", "event.time_naive"),
        ("2023-11-16", "event.time_invalid"),
        ("20231116T181546Z", "event.time_invalid"),
        ("2023-W46-4T18:15:46Z", "event.time_invalid"),
        ("2023-11-16T18:15Z", "event.time_invalid"),
        ("2023-11-16T18:15:46+0545", "event.time_invalid"),
        ("2023-02-29T00:00:00Z", "event.time_invalid"),
        ("2023-11-16T24:00:00Z", "event.time_invalid"),
        ("2023-11-16T23:59:60Z", "event.time_invalid"),
        ("0000-01-01T00:00:00Z", "event.time_invalid"),
        ("0001-01-01T00:00:00+23:59", "event.time_invalid"),
        ("9999-12-31T23:59:59-23:59", "event.time_invalid"),
        ("2023-11-16T18:15:46+24:00", "event.time_invalid"),
        ("٢٠٢٣-11-16T18:15:46Z", "event.time_invalid"),
        (" 2023-11-16T18:15:46Z", "event.time_invalid"),
        ("2023-11-16T18:15:46Z\n", "event.time_invalid"),
        ("", "event.time_invalid"),
        (1700158546, "event.time_invalid"),
        (["2023-11-16T18:15:46Z"], "event.time_invalid"),
    ],
)
def test_other_times_are_refused(sent: object, code: str) -> None:
    with pytest.raises(EventRefusal) as caught:
        read_time(sent)
    assert caught.value.code == code


@pytest.mark.parametrize("name", ["id", "source", "type", "subject"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "missing"),
        ("", "missing"),
        (7, "invalid"),
        (True, "invalid"),
        (["x"], "invalid"),
        ("x" * 256, "invalid"),
        ("a\nb", "invalid"),
        ("a\x85b", "invalid"),
    ],
)
def test_required_attributes_are_lines_of_text(name: str, value: Any, reason: str) -> None:
    assert refusal(raw(1, **{name: value})) == f"event.{name}_{reason}"


def test_attributes_may_hold_any_printed_character() -> None:
    odd = "é\\t \\N \\. “quoted” \" ' % \u200b\u00a0\U0001f600"
    event = understood(raw(1, id=odd, source=odd, type=odd, subject=odd))
    assert (event.id, event.source, event.type, event.subject) == (odd,) * 4


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"specversion": None}, "event.specversion"),
        ({"specversion": "0.3"}, "event.specversion"),
        ({"specversion": 1.0}, "event.specversion"),
        ({"data": "text"}, "event.data_not_an_object"),
        ({"data": 7}, "event.data_not_an_object"),
        ({"data": []}, "event.data_not_an_object"),
        ({"data_base64": "AAAA"}, "event.data_not_json"),
        ({"datacontenttype": "text/xml"}, "event.data_not_json"),
        ({"datacontenttype": 7}, "event.datacontenttype_invalid"),
        ({"dataschema": {"a": 1}}, "event.dataschema_invalid"),
        ({"Subject": "cus-1"}, "event.attribute_unknown"),
        ({"customer_id": "cus-1"}, "event.attribute_unknown"),
        ({"": "x"}, "event.attribute_unknown"),
        ({"ext": [1]}, "event.extension_invalid"),
        ({"ext": 1.5}, "event.extension_invalid"),
        ({"ext": 10**20}, "event.number_out_of_range"),
    ],
)
def test_other_attributes_are_refused_by_name(changes: dict[str, Any], code: str) -> None:
    assert refusal(raw(1, **changes)) == code


def test_legal_extensions_are_kept_and_are_no_part_of_the_content() -> None:
    plain = understood(raw(1))
    event = understood(
        raw(
            1, traceparent="00-ab", partitionkey=7, sampled=True, dataschema="urn:x", datacontenttype="application/json"
        )
    )
    assert json.loads(event.extensions or "") == {
        "traceparent": "00-ab",
        "partitionkey": 7,
        "sampled": True,
        "dataschema": "urn:x",
    }
    assert (event.key, event.content) == (plain.key, plain.content)
    assert understood(raw(1, datacontenttype="application/vnd.x+json; charset=utf-8")).extensions is not None
    assert understood(raw(1, data=None)).data == "{}"


def test_the_identity_does_not_depend_on_the_time_and_the_content_does() -> None:
    one, other = understood(raw(1)), understood(raw(1, time="2025-03-14T10:15:46.680591Z"))
    assert one.key == other.key == key_of("/gateway/eu-1", "ev-1")
    assert one.content != other.content


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("10.0", "10"),
        ("1e1", "10"),
        ("1E+1", "10"),
        ("-0.0", "0"),
        ("-0", "0"),
        ("0.50", "0.5"),
        ("5e-1", "0.5"),
        ("0.000000000001", "1e-12"),
        ("0e999999999", "0"),
    ],
)
def test_equal_numbers_are_the_same_content(text: str, same_as: str) -> None:
    assert understood(with_number(text)).content == understood(with_number(same_as)).content


def test_a_number_and_the_same_digits_as_text_are_not_the_same_content() -> None:
    assert understood(with_number("10")).content != understood(with_number('"10"')).content


@pytest.mark.parametrize("text", ["9" * 20, "-" + "9" * 20, "9" * 20 + "." + "9" * 12, "1e19", "1e-12"])
def test_numbers_within_range_are_exact(text: str) -> None:
    assert Decimal(read_data(understood(with_number(text)).data)["n"]) == Decimal(text)


@pytest.mark.parametrize(
    "text",
    [
        "1" + "0" * 20,
        "-1" + "0" * 20,
        "1e20",
        "1e400",
        "1e999999999",
        "1e-13",
        "0." + "0" * 12 + "1",
        "9" * 400,
        "9" * 5_000,
        "0." + "1" * 400,
        "1." + "0" * 400,
        "1e-999999999",
        "1e9999999999999999999",  # not even a Decimal has exponents of that size
        "1e-9999999999999999999",
        "0e9999999999999999999",
    ],
)
def test_numbers_beyond_range_are_refused(text: str) -> None:
    assert refusal(with_number(text)) == "event.number_out_of_range"
    assert refusal(with_number(f'[{{"deep": {text}}}]')) == "event.number_out_of_range"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "01", "+1", ".5", "1.", "0x10", "1_000", "'1'"])
def test_what_json_does_not_know_is_malformed(text: str) -> None:
    assert refusal(with_number(text)) == "event.malformed_json"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (with_number('1, "n": 1'), "event.duplicate_key"),
        (with_number('{"a": [{"b": 1, "b": 2}]}'), "event.duplicate_key"),
        (raw(1).replace(b'"id"', b'"id": "x", "id"'), "event.duplicate_key"),
        (with_number('"\\u0022", "m": 1, "m": 2'), "event.duplicate_key"),  # an escaped quotation mark evens the count
        (with_number('"\\u0022\\u0022", "\\u006d": 1, "m": 2'), "event.duplicate_key"),
        (with_number('"a\\u0000b"'), "event.nul_character"),
        (with_number('{"\\u0000": 1}'), "event.nul_character"),
        (raw(1, ext="\0"), "event.nul_character"),
        (with_number('"\\ud800"'), "event.malformed_json"),
        (with_number('"\\udc00x"'), "event.malformed_json"),
        (with_number("[" * 40 + "]" * 40), "event.too_deep"),
        (with_number("[" * 5_000 + "]" * 5_000), "event.too_deep"),
        (with_number('"' + "x" * 70_000 + '"'), "event.too_large"),
        (b"", "event.malformed_json"),
        (b"null", "event.not_an_object"),
        (b'"text"', "event.not_an_object"),
    ],
)
def test_hostile_json_is_refused_by_name(body: bytes, code: str) -> None:
    assert refusal(body) == code


def test_what_only_looks_hostile_is_taken() -> None:
    assert read_data(understood(with_number('"\\\\u0000"')).data)["n"] == "\\u0000"
    assert read_data(understood(with_number('"say \\u0022x\\u0022"')).data)["n"] == 'say "x"'
    assert read_data(understood(with_number('"\\ud83d\\ude00"')).data)["n"] == "\U0001f600"
    assert understood(with_number("[" * 30 + "]" * 30)).data.startswith('{"n":[[[')

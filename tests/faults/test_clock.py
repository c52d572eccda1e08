"""The virtual clock's file is missing or holds nonsense: said in words, and no other time is taken instead."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from billing_ops.kit.clock import ClockUnreadable, now
from tests.support.api import Api


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"soon",
        b"2025-01-01",
        b"2025-01-01T00:00:00",
        b"\xff\xfe",
        b"2025-13-01T00:00:00Z",
        b"0001-01-01T00:00:00+14:00",
    ],
)
def test_what_is_not_an_instant_is_refused(content: bytes, tmp_path: Path, settings: Any) -> None:
    path = tmp_path / "clock"
    path.write_bytes(content)
    settings.BILLING_CLOCK_FILE = str(path)
    with pytest.raises(ClockUnreadable, match="BILLING_CLOCK_FILE"):
        now()


def test_a_missing_file_is_refused(tmp_path: Path, settings: Any) -> None:
    settings.BILLING_CLOCK_FILE = str(tmp_path / "nothing")
    with pytest.raises(ClockUnreadable, match="cannot be read: FileNotFoundError"):
        now()


def test_an_instant_is_read_in_any_zone(tmp_path: Path, settings: Any) -> None:
    path = tmp_path / "clock"
    path.write_text(" 2025-01-01T02:30:00+02:30\n")
    settings.BILLING_CLOCK_FILE = str(path)
    assert now() == datetime(2025, 1, 1, tzinfo=UTC)


def test_requests_say_it_and_keep_nothing(db: Any, clock: Any) -> None:
    from metering.models import Batch

    api = Api()
    clock.path.write_text("half past nine")
    answers = [api.get("/balances", {"customer": "acme"}), api.post("/events", [])]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (500, "clock.unreadable")
        assert answer["Content-Type"] == "application/problem+json"
    assert not Batch.objects.exists()

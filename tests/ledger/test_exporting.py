"""The general ledger as a file: every line once, totals equal to the trial balance, nothing a spreadsheet would run."""

import csv
import hashlib
import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from moneyed import Money

from billing_ops.kit.errors import InvalidInput
from billing_ops.models import AuditEntry
from ledger import balances, controls, crediting, exporting, posting, rolling_up
from ledger.rules import movements
from ledger.rules.cells import harmless
from tests.ledger.books import AGENT, AT, ROBOT, accrue, give, spend, sql
from tests.support.database import Database

SINCE, UNTIL = AT.date(), AT.date() + timedelta(days=2)


def books() -> None:
    accrue("before", "100", at=AT - timedelta(days=1))
    give("g", "5", kind="goodwill", note="=HYPERLINK(1)")
    spend("inv", "7.25", at=AT + timedelta(days=1))
    entry = accrue("wrong", "0.000000000001", customer="@cus")
    posting.reverse(entry=entry, key="undo", at=AT, actor=AGENT, reason_code="typo")
    accrue("after", "100", at=AT + timedelta(days=2))


def export(path: Path, form: Any = "csv", **more: Any) -> exporting.Exported:
    return exporting.export(path=path, since=SINCE, until=UNTIL, form=form, at=AT, actor=AGENT, **more)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("rolled", [False, True])
def test_every_line_of_the_range_is_one_row_and_the_totals_are_the_trial_balances(
    fresh_db: Database, tmp_path: Path, rolled: bool
) -> None:
    books()
    if rolled:
        rolling_up.roll_up()
    done = export(tmp_path / "gl.csv")
    rows = rows_of(done.path)
    stored = sql("SELECT count(*) FROM ledger_line WHERE effective_on >= %s AND effective_on < %s", SINCE, UNTIL)
    assert len(rows) == done.rows == stored[0][0] == exporting.rows_of(since=SINCE, until=UNTIL)
    assert done.sha256 == hashlib.sha256(done.path.read_bytes()).hexdigest()
    end = AT.replace(hour=0) + timedelta(days=2)
    movement = {
        line.code: (line.lines, line.debits, line.credits)
        for line in balances.trial_balance(unit="USD", since=SINCE, until=end)
    }
    assert {one.code: (one.rows, one.debits, one.credits) for one in done.controls} == movement
    for code, (lines, debits, credits) in movement.items():
        mine = [row for row in rows if row["account_code"] == code]
        assert len(mine) == lines
        assert sum(Decimal(row["debit"] or 0) for row in mine) == debits
        assert sum(Decimal(row["credit"] or 0) for row in mine) == credits
    undo = [row for row in rows if row["event_type"] == "entry.reversed"]
    assert {(row["actor_id"], row["reason_code"]) for row in undo} == {("ana", "typo")}
    assert {row["reversal_of"] for row in undo} < {row["entry_id"] for row in rows}
    invoiced = next(row for row in rows if row["event"] == "Invoice finalised")
    assert (invoiced["invoice"], invoiced["unit"], invoiced["effective_on"]) == ("inv", "USD", "2025-03-05")
    trail = AuditEntry.objects.get(action="ledger.exported")
    assert (trail.actor_id, trail.changes["sha256"]) == ("ana", [None, done.sha256])
    said = json.loads(done.manifest())
    assert (said["path"], said["rows"], said["until"]) == ("gl.csv", done.rows, str(UNTIL))
    assert [one["debits"] for one in said["controls"]] == [format(one.debits.normalize(), "f") for one in done.controls]


def test_parquet_says_the_same_with_its_types(fresh_db: Database, tmp_path: Path) -> None:
    books()
    text = rows_of(export(tmp_path / "gl.csv").path)
    done = export(tmp_path / "gl.parquet", "parquet")
    rows = pq.read_table(done.path).to_pylist()
    assert pq.read_schema(done.path).equals(exporting.SCHEMA)
    assert [[harmless(cell) for cell in row.values()] for row in rows] == [list(row.values()) for row in text]
    assert {type(row["debit"]) for row in rows} == {Decimal, type(None)}
    assert {row["effective_on"] for row in rows} == {date(2025, 3, 4), date(2025, 3, 5)}


def test_no_cell_is_a_formula(fresh_db: Database, tmp_path: Path) -> None:
    books()
    cells = [cell for row in rows_of(export(tmp_path / "gl.csv").path) for cell in row.values()]
    assert "'=HYPERLINK(1)" in cells or "'@cus" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    for evil in ("=1", "+1", "-1", "@x", "\tx", "\rx"):
        assert harmless(evil) == f"'{evil}"
    assert harmless("a=b") == "a=b"
    assert harmless(Decimal("-0.10")) == "-0.1", "a number of ours is no formula"


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_what_does_not_add_up_is_refused_and_removed(fresh_db: Database, tmp_path: Path, form: str) -> None:
    books()
    while sql("SELECT EXISTS (SELECT FROM ledger_unrolled_entries())")[0][0]:
        rolling_up.roll_up()
    with fresh_db.connect(role="admin") as admin:
        admin.execute("UPDATE ledger_code_day SET lines = lines + 1 WHERE code = '4000'")
    with pytest.raises(exporting.ExportDiffers) as caught:
        export(tmp_path / "gl", form)
    assert caught.value.details["differing"] == [["USD", "4000"]]
    assert list(tmp_path.iterdir()) == []
    assert not AuditEntry.objects.filter(action="ledger.exported").exists()


def test_pieces_join(fresh_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    books()
    whole = export(tmp_path / "whole.csv")
    monkeypatch.setattr(exporting, "PIECE", 2)
    assert export(tmp_path / "pieces.csv").sha256 == whole.sha256
    assert pq.ParquetFile(export(tmp_path / "p.parquet", "parquet").path).metadata.num_rows == whole.rows


@pytest.mark.django_db
def test_an_empty_range_is_an_empty_file_and_a_range_that_ends_before_it_begins_is_none(tmp_path: Path) -> None:
    done = export(tmp_path / "gl.parquet", "parquet")
    assert (done.rows, done.controls) == (0, ())
    assert pq.read_table(done.path).num_rows == 0
    with pytest.raises(InvalidInput):
        exporting.export(path=tmp_path / "x", since=SINCE, until=SINCE, form="csv", at=AT, actor=ROBOT)


def test_the_command_writes_the_file_and_its_totals(
    fresh_db: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    books()
    path = tmp_path / "march.csv"
    call_command("export_ledger", str(path), "--month", "2025-03")
    assert "rows equal to the trial balance" in capsys.readouterr().out
    said = json.loads((tmp_path / "march.csv.controls.json").read_text())
    assert said["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (said["since"], said["until"]) == ("2025-03-01", "2025-04-01")
    for wrong in (
        [str(path), "--month", "2025-03"],
        [str(tmp_path / "x.txt"), "--month", "2025-03"],
        [str(tmp_path / "x.csv")],
        [str(tmp_path / "x.csv"), "--since", "2025-03-02", "--until", "2025-03-01"],
    ):
        with pytest.raises(CommandError):
            call_command("export_ledger", *wrong)


def test_sub_ledgers_equal_their_control_totals(fresh_db: Database) -> None:
    books()
    give("p", "3", customer="cus-2")
    crediting.carry_over(
        customer_key="cus-2",
        kind="paid",
        amount=Money("4", "USD"),
        reason_code="opening",
        actor=ROBOT,
        at=AT,
        key="paid",
    )
    posting.post(
        movement=movements.PAYMENT_SUCCEEDED,
        key="pay",
        lines=movements.payment_succeeded(customer_key="cus-1", currency="USD", amount=Decimal(5), applied=Decimal(2)),
        at=AT,
        actor=ROBOT,
    )
    for _ in range(2):
        found = {one.code: one for one in controls.control_totals(unit="USD")}
        assert {one.difference for one in found.values()} == {Decimal(0)}
        assert (found["2110"].stored, found["2000"].control, found["9010"].accounts) == (Decimal(3), Decimal(4), 1)
        rolling_up.roll_up()
    with fresh_db.connect(role="admin") as admin:
        admin.execute("SET session_replication_role = replica")
        admin.execute(
            "UPDATE ledger_balance b SET credits = credits + 1 FROM ledger_account a"
            " WHERE a.id = b.account_id AND a.code = '2110'"
        )
    (wrong,) = [one for one in controls.control_totals(unit="USD") if one.difference]
    assert (wrong.code, wrong.difference) == ("2110", Decimal(1))
    assert controls.control_totals(unit="EUR") == []

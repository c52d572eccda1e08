"""The trial balance on both clocks, the sub-ledgers beside their control totals, and the export of the ledger."""

import shutil
import tempfile
import zipfile
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final

from django import forms
from django.contrib import messages
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

from billing_ops.console.days import DayField
from billing_ops.console.frame import show
from billing_ops.console.people import actor_of
from billing_ops.console.statement_form import end_of
from billing_ops.kit import clock
from billing_ops.kit.errors import BillingError
from ledger import balances, controls, exporting
from ledger.models import Account, RollupState

MOST_ROWS: Final = 1_000_000
"""More rows than a browser should wait for: ``manage.py export_ledger`` writes them."""


class TrialBalanceForm(forms.Form):
    """Which unit, and as of when; days end in the zone of the books."""

    unit = forms.ChoiceField(required=False)
    until = DayField(label="At the end of day", required=False)
    known = DayField(label="As known at the end of (UTC)", required=False)


class ExportForm(forms.Form):
    """Which days of the general ledger, and in which format."""

    since = DayField(label="From day")
    until = DayField(label="To day")
    form = forms.ChoiceField(label="Format", choices=[("csv", "CSV"), ("parquet", "Parquet")])

    def clean(self) -> dict[str, Any]:
        """The days in their order."""
        data: dict[str, Any] = super().clean() or {}
        if "since" in data and "until" in data and data["until"] < data["since"]:
            self.add_error("until", "This day is before the first one.")
        return data


def trial_balance_page(request: HttpRequest) -> HttpResponse:
    """Debits and credits of every code in one unit, and whether customers' accounts add up to theirs."""
    units = sorted(Account.objects.values_list("unit_id", flat=True).distinct())
    usual = "USD" if "USD" in units else next(iter(units), "")
    form = TrialBalanceForm({**request.GET.dict(), "unit": request.GET.get("unit") or usual})
    choice = form.fields["unit"]
    assert isinstance(choice, forms.ChoiceField)
    choice.choices = [(unit, unit) for unit in units]
    chosen = form.cleaned_data if form.is_valid() else {}
    unit = chosen.get("unit") or usual
    lines = balances.trial_balance(
        unit=unit, until=_midnight_after(chosen.get("until")), known=end_of(chosen.get("known"))
    )
    filtered = any(request.GET.get(name) for name in ("until", "known"))
    last = clock.now().date().replace(day=1) - timedelta(days=1)
    context = {
        "title": "Trial balance",
        "header_note": unit,
        "form": form,
        "filtered": filtered,
        "unit": unit,
        "lines": lines,
        "debits": sum((line.debits for line in lines), Decimal(0)),
        "credits": sum((line.credits for line in lines), Decimal(0)),
        "controls": controls.control_totals(unit=unit) if unit and not filtered else [],
        "rolled_at": RollupState.objects.values_list("rolled_at", flat=True).first(),
        "export": ExportForm(initial={"since": last.replace(day=1), "until": last, "form": "csv"}),
    }
    return show(request, "console/trial_balance.html", context)


def export(request: HttpRequest) -> HttpResponseBase:
    """Send the general ledger of some days with its control totals, both in one archive; who took it is recorded."""
    form = ExportForm(request.POST)
    if not form.is_valid():
        problems = " ".join(str(error) for errors in form.errors.values() for error in errors)
        messages.error(request, f"Nothing was exported. {problems}")
        return redirect("admin:console_trial_balance")
    since, until = form.cleaned_data["since"], form.cleaned_data["until"] + timedelta(days=1)
    rows = exporting.rows_of(since=since, until=until)
    if rows > MOST_ROWS:
        messages.error(
            request,
            f"Nothing was exported: {rows:,} rows are more than a browser should wait for. Take fewer days, or run "
            "manage.py export_ledger.",
        )
        return redirect("admin:console_trial_balance")
    try:
        archive = _archive(request, since, until, form.cleaned_data["form"])
    except BillingError as error:
        messages.error(request, str(error))
        return redirect("admin:console_trial_balance")
    name = f"general-ledger_{since}_{form.cleaned_data['until']}.zip"
    return FileResponse(archive, as_attachment=True, filename=name, content_type="application/zip")


def _archive(request: HttpRequest, since: date, until: date, form: exporting.Format) -> IO[bytes]:
    """The file and its control totals, on disk: the size of the ledger does not matter to memory."""
    archive = tempfile.TemporaryFile()  # noqa: SIM115  # the response closes it
    with tempfile.TemporaryDirectory() as folder:
        done = exporting.export(
            path=Path(folder) / f"general-ledger.{form}",
            since=since,
            until=until,
            form=form,
            at=clock.now(),
            actor=actor_of(request),
        )
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as together:
            with done.path.open("rb") as file, together.open(done.path.name, "w", force_zip64=True) as inside:
                shutil.copyfileobj(file, inside)
            together.writestr("control-totals.json", done.manifest())
    archive.seek(0)
    return archive


def _midnight_after(day: date | None) -> datetime | None:
    if day is None:
        return None
    return datetime.combine(day + timedelta(days=1), time(), balances.zone_of_books())

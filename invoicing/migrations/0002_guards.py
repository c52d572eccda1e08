from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"
_FORWARDS = (_SQL / "0002_guards.sql").read_text()
_PAYMENTS = (_SQL / "0002_payments.sql").read_text()

_BACKWARDS = """
DROP TRIGGER invoice_frozen ON invoicing_invoice;
DROP TRIGGER invoice_is_not_emptied ON invoicing_invoice;
DROP TRIGGER invoice_adds_up ON invoicing_invoice;
DROP TRIGGER invoice_line_frozen ON invoicing_invoiceline;
DROP TRIGGER invoice_line_is_not_emptied ON invoicing_invoiceline;
DROP TRIGGER payment_attempt_answered ON invoicing_paymentattempt;
DROP TRIGGER payment_attempt_is_not_emptied ON invoicing_paymentattempt;
DROP TRIGGER number_series_gapless ON invoicing_numberseries;
DROP TRIGGER number_series_is_not_emptied ON invoicing_numberseries;
DROP TRIGGER number_series_used ON invoicing_numberseries;
DROP TRIGGER stripe_event_as_it_came ON invoicing_stripeevent;
DROP TRIGGER stripe_event_is_not_emptied ON invoicing_stripeevent;
DROP TRIGGER accrual_rows_are_facts ON invoicing_accrual;
DROP TRIGGER accrual_is_not_emptied ON invoicing_accrual;
DROP TRIGGER recognition_rows_are_facts ON invoicing_recognition;
DROP TRIGGER recognition_is_not_emptied ON invoicing_recognition;
DROP TRIGGER payment_rows_are_facts ON invoicing_payment;
DROP TRIGGER payment_is_not_emptied ON invoicing_payment;
DROP FUNCTION invoice_guard();
DROP FUNCTION invoice_line_guard();
DROP FUNCTION invoice_sums_guard();
DROP FUNCTION payment_attempt_guard();
DROP FUNCTION number_series_guard();
DROP FUNCTION number_used_guard();
DROP FUNCTION stripe_event_guard();
DROP FUNCTION invoice_number_text(text, integer);
DROP FUNCTION invoice_status_may_change(text, text);
DROP FUNCTION attempt_status_may_change(text, text);
"""

_PAYMENTS_BACKWARDS = """
DROP TRIGGER invoice_paid_from_nothing ON invoicing_invoice;
DROP TRIGGER invoice_paid_up_to_due ON invoicing_invoice;
DROP TRIGGER invoice_paid_by_payments ON invoicing_invoice;
DROP TRIGGER payment_posted ON invoicing_payment;
DROP TRIGGER payment_settles_invoices ON invoicing_payment;
DROP FUNCTION invoice_paid_guard();
DROP FUNCTION payment_posted_guard();
DROP FUNCTION payments_settle_guard();
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("invoicing", "0001_initial"), ("billing_ops", "0002_append_only")]
    operations: ClassVar = [
        migrations.RunSQL(_FORWARDS, _BACKWARDS),
        migrations.RunSQL(_PAYMENTS, _PAYMENTS_BACKWARDS),
    ]

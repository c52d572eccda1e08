from pathlib import Path
from typing import ClassVar

from django.db import migrations

_FORWARDS = Path(__file__).with_suffix(".sql").read_text()

_BACKWARDS = """
DROP TRIGGER auditentry_rows_are_facts ON billing_ops_auditentry;
DROP TRIGGER auditentry_is_not_emptied ON billing_ops_auditentry;
DROP TRIGGER idempotencyrecord_rows_are_facts ON billing_ops_idempotencyrecord;
DROP TRIGGER idempotencyrecord_is_not_emptied ON billing_ops_idempotencyrecord;
DROP FUNCTION refuse_change();
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing_ops", "0001_initial")]
    operations: ClassVar = [migrations.RunSQL(_FORWARDS, _BACKWARDS)]

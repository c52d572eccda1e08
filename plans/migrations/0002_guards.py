"""What the database itself refuses: see the header of each SQL file, which is frozen with this migration."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"

_UNDO_CATALOGUE = """
DROP TRIGGER version_frozen ON plans_planversion;
DROP TRIGGER version_publishable ON plans_planversion;
DROP TRIGGER version_not_emptied ON plans_planversion;
DROP TRIGGER price_frozen ON plans_price;
DROP TRIGGER price_not_emptied ON plans_price;
DROP TRIGGER tier_frozen ON plans_pricetier;
DROP TRIGGER tier_not_emptied ON plans_pricetier;
DROP FUNCTION plans_version_frozen(), plans_version_publishable(), plans_price_frozen(), plans_tier_frozen(),
    plans_refuse_truncate(), plans_refuse_published(bigint, text);
"""

_UNDO_AGREEMENT = """
ALTER TABLE plans_subscriptionitem DROP CONSTRAINT item_meter_billed_once;
DROP TRIGGER customer_terms_fixed ON plans_customer;
DROP TRIGGER subscription_guard ON plans_subscription;
DROP TRIGGER item_guard ON plans_subscriptionitem;
DROP TRIGGER period_follows ON plans_billingperiod;
DROP TRIGGER period_is_a_fact ON plans_billingperiod;
DROP TRIGGER period_not_emptied ON plans_billingperiod;
DROP FUNCTION plans_customer_terms_fixed(), plans_subscription_guard(), plans_item_guard(), plans_period_follows();
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("plans", "0001_initial"), ("billing_ops", "0002_append_only")]
    operations: ClassVar = [
        migrations.RunSQL((_SQL / "0002_catalogue_guards.sql").read_text(encoding="utf-8"), _UNDO_CATALOGUE),
        migrations.RunSQL((_SQL / "0002_agreement_guards.sql").read_text(encoding="utf-8"), _UNDO_AGREEMENT),
    ]

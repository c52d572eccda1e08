"""The Celery application and the whole beat table.

Celery is the clock and the muscle, never the memory: every task asks the database "what is due?" and rows carry the
work, so a lost message loses nothing.
"""

import os
from typing import Any

from celery import Celery
from celery.schedules import crontab

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_ops.settings")

app = Celery("billing_ops")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def _every(task: str, seconds: int) -> dict[str, Any]:
    # A message that was not taken before the next one comes says nothing new: it expires instead of piling up.
    return {"task": task, "schedule": seconds, "options": {"expires": max(seconds, 5)}}


app.conf.beat_schedule = {
    "fold usage events into buckets": _every("metering.advance", 1),
    "draw usage that arrived from credits": _every("invoicing.draw_down", 2),
    "draft and finalise what is due": _every("invoicing.bill", 60),
    "collect open invoices": _every("invoicing.collect_due", 60),
    "handle stored Stripe events": _every("invoicing.handle_due_events", 30),
    "fetch Stripe events that never arrived": _every("invoicing.sweep_stripe_events", 300),
    "close approvals that nobody decided": _every("billing_ops.expire_approvals", 300),
    "expire credits": _every("ledger.expire_credits", 3600),
    "let go what was held too long": _every("ledger.lapse_holds", 60),
    "give credit that comes again": _every("ledger.run_schedules", 60),
    "seal the journal": _every("ledger.seal", 180),
    "roll up the lines of the books": _every("ledger.roll_up", 30),
    "top up by rules": _every("invoicing.auto_top_up", 60),
    "bill use beyond credits that no edge bills": {
        "task": "invoicing.bill_overage",
        "schedule": crontab(hour="1", minute="40"),
    },
    "accrue usage and earn prepaid fees": {"task": "invoicing.accrue", "schedule": crontab(hour="0", minute="10")},
    "bill late usage of ended subscriptions": {
        "task": "invoicing.bill_late",
        "schedule": crontab(hour="1", minute="10"),
    },
    "compare buckets with their events": {"task": "metering.check", "schedule": crontab(hour="2", minute="10")},
    "prove that usage was drawn once": {"task": "invoicing.prove", "schedule": crontab(hour="3", minute="25")},
    "prove the books": {"task": "ledger.prove", "schedule": crontab(hour="3", minute="10")},
}

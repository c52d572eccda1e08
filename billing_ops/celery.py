"""The Celery application and the whole beat table.

Celery is the clock and the muscle, never the memory: every task asks the database "what is due?" and rows carry the
work, so a lost message loses nothing.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_ops.settings")

app = Celery("billing_ops")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

# name of the schedule -> task, interval in seconds
app.conf.beat_schedule = {}

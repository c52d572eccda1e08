"""Define a meter. What was counted before it existed is counted by it too, once (see ``aggregating``)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from billing_ops.kit import audit
from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import IdempotencyMismatch
from metering.aggregating import FOLD_LOCK
from metering.models import Fold, Meter, MeterProgress
from metering.rules import definition


class MeterDiffers(IdempotencyMismatch):
    """A meter of that key exists and counts something else; ``details["differs"]`` names the fields."""

    code = "meter.differs"
    remedy = "A meter never changes what it counts: define another one under a new key."


def define(
    *,
    key: str,
    name: str,
    event_type: str,
    aggregation: str,
    value_path: str = "",
    filters: Sequence[Mapping[str, Any]] = (),
    unit: str = "",
    at: datetime,
    actor: Actor,
) -> Meter:
    """Make the meter, or return the one of that key if it is the same.

    Raises ``BadMeter`` for what no meter can be, :class:`MeterDiffers` if the key has another definition. Waits for the
    folds under way; they wait for the end of the caller's transaction.
    """
    checked = definition.check(
        key=key,
        name=name,
        event_type=event_type,
        aggregation=aggregation,
        value_path=value_path,
        filters=filters,
        unit=unit,
    )
    body = {
        "name": name,
        "event_type": event_type,
        "aggregation": aggregation,
        "value_path": value_path,
        "filters": checked,
        "unit": unit,
    }
    present = Meter.objects.filter(key=key).first()
    if present is not None:
        return _same(present, body)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [FOLD_LOCK])
        present = Meter.objects.filter(key=key).first()
        if present is not None:  # made by another while we waited
            return _same(present, body)
        meter = Meter.objects.create(key=key, created_at=at, created_by=f"{actor.type}:{actor.id}", **body)
        last = Fold.objects.order_by("-pk").values_list("pk", flat=True).first()
        MeterProgress.objects.create(meter=meter, after_fold=last or 0, caught_up_at=None if last else at)
        audit.record(
            at=at,
            actor=actor,
            action="meter.defined",
            subject_type="meter",
            subject_key=key,
            summary=f"Meter {name} ({key}) defined"[:300],
            changes={field: [None, value] for field, value in body.items()},
        )
        return meter


def _same(present: Meter, body: Mapping[str, Any]) -> Meter:
    differs = [field for field, value in body.items() if getattr(present, field) != value]
    if differs:
        raise MeterDiffers(f"Meter “{present.key}” exists with another {', '.join(differs)}.", differs=differs)
    return present

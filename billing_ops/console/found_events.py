"""Raw events by their id. Identity is (source, id), and there is no index on the id alone: the look-up is bounded."""

from django.db import OperationalError, connection, transaction

from metering.models import Event

_LIMIT_MS = 2_000


def events_with_id(event_id: str, *, limit: int) -> list[tuple[str, str, str]]:
    """``(source, subject, event_id)`` of the events that carry this id; nothing when looking takes over two seconds.

    The time limit is what keeps one search from reading years of events; with source and id together the events page
    finds any event at once.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(_LIMIT_MS)])
            found = Event.objects.filter(event_id=event_id).values_list("source", "subject", "event_id")
            return list(found[:limit])
    except OperationalError as error:
        if "statement timeout" in str(error):
            return []
        raise

"""Columns that only PostgreSQL has."""

from typing import Any

from django.db import models


class ClockTimestamp(models.Func):
    """The instant at which the statement really runs; ``now()`` would be the transaction's start."""

    function = "clock_timestamp"
    output_field = models.DateTimeField()


class Xid8Field(models.Field):  # type: ignore[type-arg]  # not subscriptable when it runs
    """A 64-bit transaction id: it means something within one database cluster only."""

    def db_type(self, connection: Any) -> str:
        return "xid8"

    def get_prep_value(self, value: Any) -> Any:
        return str(value) if isinstance(value, int) else super().get_prep_value(value)  # an integer has no cast to it

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> int | None:
        return None if value is None else int(value)


class CurrentXid(models.Func):
    """The id of the transaction that writes the row."""

    function = "pg_current_xact_id"
    output_field = Xid8Field()


class Int8MultirangeField(models.Field):  # type: ignore[type-arg]  # not subscriptable when it runs
    """A set of ids as ranges, in PostgreSQL's own text: ``{[1,5),[7,9)}``."""

    def db_type(self, connection: Any) -> str:
        return "int8multirange"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> str:
        return "{" + ",".join(f"[{one.lower},{one.upper})" for one in value) + "}"

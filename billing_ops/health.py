"""Health for whoever restarts or routes: ``/healthz`` (this process answers) and ``/readyz`` (it can do its work).

Answers name what is wrong in one word each and hold nothing that must not be public.
"""

import logging
from collections.abc import Callable
from functools import cache
from typing import Final

from celery import current_app
from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, JsonResponse
from kombu.exceptions import KombuError

logger = logging.getLogger(__name__)

_BROKER_SECONDS: Final = 2
_BROKER_LIMITS: Final = {"socket_connect_timeout": _BROKER_SECONDS, "socket_timeout": _BROKER_SECONDS}

_ROLE = """
    SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
           EXISTS (SELECT FROM pg_class
                    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
                      AND pg_has_role(current_user, relowner, 'MEMBER'))
"""


def alive(request: HttpRequest) -> JsonResponse:
    """200 as long as this process answers; asks nothing of anybody else."""
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> JsonResponse:
    """200 when database, role, migrations and broker are as they must be, else 503 and which is not."""
    checks = {"database": _database(), "role": "unknown", "migrations": "unknown", "broker": _broker()}
    if checks["database"] == "ok":
        checks |= {"role": _role(), "migrations": _migrations()}
    is_ready = all(outcome == "ok" for outcome in checks.values())
    return JsonResponse(
        {"status": "ready" if is_ready else "not ready", "checks": checks},
        status=200 if is_ready else 503,
        headers={"Cache-Control": "no-store"},
    )


def _asked(check: Callable[[], str]) -> str:
    try:
        return check()
    except Error as error:
        logger.warning("Not ready: %s", " ".join(str(error).split()))
        return "unreachable"


def _database() -> str:
    def ask() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return "ok"

    return _asked(ask)


def _role() -> str:
    """The application works as a role that is neither owner nor superuser; as any other, its guarantees do not hold."""

    def ask() -> str:
        with connection.cursor() as cursor:
            cursor.execute(_ROLE)
            superuser, owner = cursor.fetchone()
        if superuser:
            return "superuser"
        return "owner" if owner else "ok"

    return _asked(ask)


def _migrations() -> str:
    def ask() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT app, name FROM django_migrations")
            missing = _known_migrations() - set(cursor.fetchall())
        return f"{len(missing)} missing" if missing else "ok"

    return _asked(ask)


@cache
def _known_migrations() -> frozenset[tuple[str, str]]:
    loader = MigrationLoader(None)
    return frozenset(loader.disk_migrations)


def _broker() -> str:
    try:
        with current_app.connection_for_write(
            connect_timeout=_BROKER_SECONDS, transport_options=_BROKER_LIMITS
        ) as broker:
            broker.ensure_connection(max_retries=1, timeout=_BROKER_SECONDS)
    except (OSError, KombuError) as error:
        logger.warning("Not ready: broker: %s", error)
        return "unreachable"
    return "ok"

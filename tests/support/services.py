"""PostgreSQL and Redis for the tests: the machine's own when they answer, embedded ones otherwise."""

import os

import psycopg
import redis

from billing_ops.embedded import roles
from tests.support.database import Role, Server

_LOCAL_SERVERS = ("postgres://postgres@127.0.0.1:5432/postgres", "postgres://postgres:postgres@127.0.0.1:5432/postgres")
_LOCAL_REDIS = "redis://127.0.0.1:6379/0"
MINIMUM_VERSION = 150000


def answering_server() -> tuple[Server | None, str]:
    """A server of this machine (or ``TEST_DATABASE_URL``) to work on, or ``None`` and why not.

    It must let us log in as a superuser (roles and an extension are made), be version 15 or later, and let the
    application's role log in without a password, since a test must not change a password that others use.
    """
    given = os.environ.get("TEST_DATABASE_URL", "")
    why = ""
    for url in [given] if given else _LOCAL_SERVERS:
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=3) as admin:
                row = admin.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
                if admin.info.server_version < MINIMUM_VERSION:
                    why = f"it is version {admin.info.server_version // 10000}, we need 15 or later"
                    continue
                if not row or not row[0]:
                    why = "the login is not a superuser"
                    continue
                roles.ensure_roles(admin)
            server = Server(url)
            roles_to_try: tuple[Role, ...] = ("app", "owner")
            for role in roles_to_try:
                psycopg.connect(server.url("postgres", role), connect_timeout=3).close()
            return server, ""
        except psycopg.Error as error:
            why = " ".join(str(error).split())
    return None, why


def answering_redis() -> tuple[str | None, str]:
    """A Redis of this machine (or ``TEST_REDIS_URL``) that accepts us, or ``None`` and why not."""
    url = os.environ.get("TEST_REDIS_URL", _LOCAL_REDIS)
    try:
        client = redis.Redis.from_url(url, socket_connect_timeout=3)
        client.ping()
        client.close()
    except redis.RedisError as error:
        return None, str(error)
    return url, ""

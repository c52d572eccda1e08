"""PostgreSQL and Redis for the tests: the machine's own when they answer, embedded ones otherwise."""

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import psycopg
import redis

from billing_ops.embedded import roles
from billing_ops.embedded.broker import Broker
from billing_ops.embedded.home import Home
from billing_ops.embedded.postgres import Postgres
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


def find_services(stack: ExitStack) -> tuple[str, str]:
    """Return the PostgreSQL server (the fields of a ``Server``, one a line) and the address of Redis.

    What does not answer is started here, in a temporary directory, and stopped when ``stack`` closes. An address that
    was given with ``TEST_DATABASE_URL`` or ``TEST_REDIS_URL`` must answer: falling back would hide the mistake.
    """
    embedded_only = os.environ.get("TEST_SERVICES") == "embedded"
    server, why = (None, "TEST_SERVICES=embedded") if embedded_only else answering_server()
    broker, why_not = (None, "TEST_SERVICES=embedded") if embedded_only else answering_redis()
    for name, found, reason in (("TEST_DATABASE_URL", server, why), ("TEST_REDIS_URL", broker, why_not)):
        if os.environ.get(name) and found is None and not embedded_only:
            raise RuntimeError(f"{name} is set, and the server is of no use: {reason}")
    if server and broker:
        return _fields(server), broker
    root = Path(
        stack.enter_context(tempfile.TemporaryDirectory(prefix="billing-ops-test-", ignore_cleanup_errors=True))
    )
    root.chmod(0o711)  # as root, the database works as another user
    home = Home(root)
    home.prepare()
    if server is None:
        print(f"PostgreSQL of this machine is not used ({why}): an embedded one is.", file=sys.stderr)
        postgres = Postgres(home, durable=False)
        stack.callback(postgres.stop)
        postgres.start()
        server = Server(
            postgres.url("postgres", "postgres"),
            home.secret(f"postgres:{roles.APP}"),
            home.secret(f"postgres:{roles.MIGRATOR}"),
        )
    if broker is None:
        print(f"Redis of this machine is not used ({why_not}): an embedded one is.", file=sys.stderr)
        valkey = Broker(home)
        stack.callback(valkey.stop)
        valkey.start()
        broker = valkey.url()
    return _fields(server), broker


def _fields(server: Server) -> str:
    return "\n".join([server.admin_url, server.app_password, server.migrator_password])

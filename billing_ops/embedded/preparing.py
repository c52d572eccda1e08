"""Making a database and static files ready for the present code, and filling a demo, with commands of ``manage.py``."""

import hashlib
import sys
import time
from collections.abc import Callable, Mapping

import psycopg

from billing_ops.embedded.configuration import LOGINS
from billing_ops.embedded.errors import StartError
from billing_ops.embedded.home import CHECKOUT, Home
from billing_ops.embedded.processes import Child

_COMMAND_SECONDS = 1800.0
_DEMO_MARK = "demo data loaded"


class Preparation:
    """Runs commands one after the other. ``check_stop`` raises when somebody wants us to stop."""

    def __init__(
        self,
        home: Home,
        env: Mapping[str, str],
        owner_url: str,
        *,
        say: Callable[[str], None],
        check_stop: Callable[[], None],
    ) -> None:
        self.home = home
        self.commands: list[Child] = []
        self._env = env
        self._owner_url = owner_url  # of a login that migrates; empty when somebody else does
        self._say = say
        self._check_stop = check_stop

    def prepare(self, *, skip_if_unchanged: bool) -> None:
        """Migrate, grant, collect static files; ``skip_if_unchanged`` trusts the last time for the same code."""
        mark = self.home.root / "prepared"
        state = _code_state()
        if skip_if_unchanged and mark.exists() and mark.read_text() == state:
            return
        mark.unlink(missing_ok=True)
        self._say("Preparing the database …")
        collecting = self._begin("static", "collectstatic", "--noinput", "--verbosity", "0")
        if self._owner_url:
            owner = {"BILLING_DB_ROLE": "owner", "OWNER_DATABASE_URL": self._owner_url}
            self._finish(self._begin("prepare", "prepare_database", "--verbosity", "0", **owner))
        else:
            self._refuse_an_old_database()
        self._finish(collecting)
        mark.write_text(state)

    def load_demo(self) -> bool:
        """Load the demo data once a database (its mark goes where the data go); whether they are there."""
        if not self._owner_url or not has_command("load_demo"):
            return False
        with psycopg.connect(self._owner_url, autocommit=True) as owner:
            query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
            row = owner.execute(query).fetchone()
            if row and row[0] == _DEMO_MARK:
                return True
            self._say("Loading demo data, this once (a minute or two) …")
            passwords = {f"BILLING_DEMO_PASSWORD_{name.upper()}": login_password(self.home, name) for name in LOGINS}
            self._finish(self._begin("demo", "load_demo", **passwords), relay=True)
            name = owner.info.dbname.replace('"', '""')
            owner.execute(f"COMMENT ON DATABASE \"{name}\" IS '{_DEMO_MARK}'")
        return True

    def _begin(self, name: str, *arguments: str, **extra: str) -> Child:
        command = python_program(self.home, name, {**self._env, **extra}, "manage.py", *arguments)
        self.commands.append(command)
        command.start()
        return command

    def _finish(self, command: Child, *, relay: bool = False) -> None:
        """Wait for a command, saying what it prints if ``relay``; raises :class:`StartError` if it fails."""
        code = self._wait(command, relay=relay)
        if code:
            raise StartError(
                f"“manage.py {command.argv[2]}” failed:\n{command.last_lines()}\n    (all of it: {command.log})"
            )

    def _wait(self, command: Child, *, relay: bool = False) -> int:
        deadline = time.monotonic() + _COMMAND_SECONDS
        with command.log.open() as log:
            log.seek(command.log_start)
            while (code := command.exit_code()) is None:
                self._check_stop()
                if time.monotonic() > deadline:
                    command.stop(grace=1)
                for line in log if relay else ():
                    self._say(line.rstrip())
                time.sleep(0.02)
        return code

    def _refuse_an_old_database(self) -> None:
        command = self._begin("prepare", "migrate", "--check", "--verbosity", "0")
        if self._wait(command) and not command.last_lines():  # it says nothing when migrations are missing
            raise StartError(
                "The database at DATABASE_URL is not migrated to this release. Migrate it with: make migrate (or set "
                "OWNER_DATABASE_URL, and each start migrates it). Nothing was changed."
            )
        self._finish(command)


def python_program(home: Home, name: str, env: Mapping[str, str], *argv: str) -> Child:
    """A program of ours, to be started with our interpreter in the checkout."""
    return Child(
        name=name,
        argv=(sys.executable, *argv),
        env=env,
        home=home.root,
        log=home.log(name),
        cwd=CHECKOUT,
    )


def has_command(name: str) -> bool:
    """Whether ``manage.py`` knows a command."""
    return any(CHECKOUT.glob(f"*/management/commands/{name}.py"))


def login_password(home: Home, name: str) -> str:
    """The password of a demo login, made once."""
    return home.secret(f"login:{name}", length=9)


def _code_state() -> str:
    """A text that changes when a file of the program does."""
    digest = hashlib.sha256(sys.version.encode())
    for folder in ("billing_ops", "metering", "ledger", "plans", "invoicing", "templates"):
        for path in sorted((CHECKOUT / folder).rglob("*")):
            if "__pycache__" not in path.parts and path.is_file():
                about = path.stat()
                digest.update(f"{path.relative_to(CHECKOUT)} {about.st_size} {about.st_mtime_ns}\n".encode())
    digest.update((CHECKOUT / "requirements.lock").read_bytes())
    return digest.hexdigest()

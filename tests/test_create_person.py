"""The command that makes a login."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Type a password on standard input."""

    def type_it(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text + "\n"))

    return type_it


@pytest.fixture
def _roles(db: None) -> None:
    call_command("sync_roles", verbosity=0)


def _knows(username: str, password: str) -> bool:
    from django.contrib.auth.models import User

    return User.objects.get(username=username).check_password(password)


@pytest.mark.usefixtures("_roles")
def test_a_person_can_log_in_with_one_role_and_get_another(typed: Any) -> None:
    from django.contrib.auth.models import User

    from billing_ops.models import AuditEntry

    typed("correct horse battery")
    call_command("create_person", "ann", "--role", "Finance", "--password-stdin", stdout=io.StringIO())
    assert Client().login(username="ann", password="correct horse battery")
    typed("another long password")
    call_command("create_person", "ann", "--role", "Support", "--password-stdin", stdout=io.StringIO())

    ann = User.objects.get(username="ann")
    assert [group.name for group in ann.groups.all()] == ["Support"]
    assert (ann.is_staff, ann.is_superuser) == (True, False)
    assert not _knows("ann", "correct horse battery")
    assert list(AuditEntry.objects.values_list("action", flat=True)) == ["person.changed", "person.created"]


@pytest.mark.usefixtures("_roles")
@pytest.mark.parametrize(
    ("username", "password"), [("ann", "short"), ("ann", "qwerty123456"), ("a b!", "correct horse battery")]
)
def test_a_weak_password_or_a_bad_name_is_refused(typed: Any, username: str, password: str) -> None:
    from django.contrib.auth.models import User

    typed(password)
    with pytest.raises(CommandError):
        call_command("create_person", username, "--role", "Finance", "--password-stdin")
    assert not User.objects.exists()


@pytest.mark.usefixtures("_roles")
def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(CommandError):
        call_command("create_person", "ann", "--role", "Emperor", "--password-stdin")


def test_manage_says_what_to_do_when_nothing_was_started(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "billing_ops.embedded", "manage", "check"],
        env={**os.environ, "BILLING_HOME": str(tmp_path), "DATABASE_URL": "", "REDIS_URL": "", "BILLING_ENV": "local"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.strip() == "Nothing was started here yet. Start it first: make run"

"""Roles as groups: exactly what the table says, however often the command runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.core.management import call_command
from django.test import Client

if TYPE_CHECKING:
    from tests.console.desk import Desk


def _groups() -> dict[str, set[str]]:
    from django.contrib.auth.models import Group

    return {
        group.name: {f"{one.content_type.app_label}.{one.codename}" for one in group.permissions.all()}
        for group in Group.objects.prefetch_related("permissions__content_type")
    }


def test_migrating_left_the_groups_as_the_roles_say(db: Any) -> None:
    from billing_ops.console.roles import ROLES

    assert _groups() == {name: set(permissions) for name, permissions in ROLES.items()}


def test_running_it_again_repairs_what_somebody_changed_and_then_nothing(db: Any) -> None:
    from django.contrib.auth.models import Group, Permission

    support = Group.objects.get(name="Support")
    support.permissions.add(Permission.objects.get(codename="collect_invoice"))
    support.permissions.remove(Permission.objects.get(codename="issue_credit"))
    before = set(Permission.objects.values_list("pk", flat=True))

    call_command("sync_roles")
    first = _groups()
    call_command("sync_roles")

    assert "ledger.issue_credit" in first["Support"]
    assert "invoicing.collect_invoice" not in first["Support"]
    assert _groups() == first
    assert set(Permission.objects.values_list("pk", flat=True)) == before


def test_nobody_is_a_superuser_and_no_role_may_edit_people(quiet_desk: "Desk") -> None:
    from django.contrib.auth.models import User

    from billing_ops.console.roles import ROLES

    assert not User.objects.filter(is_superuser=True).exists()
    named = {permission for role in ROLES.values() for permission in role}
    assert not [name for name in named if name.startswith(("auth.", "admin."))]
    assert not [name for name in named if ".add_" in name or ".change_" in name or ".delete_" in name]


def test_taking_a_role_away_counts_from_the_next_request(desk: "Desk", as_role: Callable[[str], Client]) -> None:
    from django.contrib.auth.models import User

    browser = as_role("finance")
    assert browser.get("/console/journal/").status_code == 200
    User.objects.get(username="finance").groups.clear()
    assert browser.get("/console/journal/").status_code == 403
    User.objects.filter(username="finance").update(is_active=False)
    assert browser.get("/console/journal/").status_code == 302


def test_a_superuser_is_not_let_in(db: Any) -> None:
    from django.contrib.auth.models import User

    browser = Client()
    browser.force_login(User.objects.create_superuser("root"))
    assert browser.get("/console/").status_code == 302
    assert browser.get("/console/journal/").status_code == 302


def test_every_kind_of_approval_can_be_decided_by_some_role_that_sees_the_queue() -> None:
    from billing_ops.console.roles import ROLES
    from billing_ops.kit.approval_kinds import kinds

    for code, kind in kinds().items():
        deciders = [name for name, may in ROLES.items() if {kind.permission, "billing_ops.view_approval"} <= may]
        assert deciders, f"nobody decides {code}"

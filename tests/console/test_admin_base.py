"""The base class refuses what would be dangerous when the class is written, not when it is used."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from unfold.decorators import action


def _admin(**members: Any) -> type:
    from billing_ops.kit.admin_base import RecordAdmin

    return type("SomeAdmin", (RecordAdmin,), members)


@pytest.mark.parametrize("listing", ["actions_list", "actions_detail", "actions_row"])
def test_an_action_without_permissions_is_refused(listing: str) -> None:
    @action(description="Danger")  # type: ignore[untyped-decorator]
    def danger(self: Any, request: Any) -> None: ...

    with pytest.raises(ImproperlyConfigured, match="without permissions"):
        _admin(**{listing: ("danger",), "danger": danger})


def test_an_action_in_a_menu_is_looked_at_too() -> None:
    @action(description="Danger")  # type: ignore[untyped-decorator]
    def danger(self: Any, request: Any) -> None: ...

    with pytest.raises(ImproperlyConfigured, match="without permissions"):
        _admin(actions_detail=({"title": "More", "items": ["danger"]},), danger=danger)


def test_an_action_that_would_run_on_get_is_refused() -> None:
    @action(description="Danger", permissions=["ledger.issue_credit"])  # type: ignore[untyped-decorator]
    def danger(self: Any, request: Any) -> None: ...

    with pytest.raises(ImproperlyConfigured, match="would run on GET"):
        _admin(actions_detail=("danger",), danger=danger)


def test_bulk_actions_and_empty_permissions_are_refused() -> None:
    from billing_ops.kit.admin_base import act

    with pytest.raises(ImproperlyConfigured, match="dry run"):
        _admin(actions=("delete_selected",))
    with pytest.raises(ImproperlyConfigured, match="names no permission"):
        act(permissions=[], title="Danger", question="Sure?", submit="Yes")


def test_every_registered_class_stands_on_the_base_and_cannot_edit() -> None:
    from django.contrib import admin
    from django.test import RequestFactory

    from billing_ops.kit.admin_base import RecordAdmin

    request = RequestFactory().get("/")
    for model, registered in admin.site._registry.items():
        assert isinstance(registered, RecordAdmin), model
        assert registered.list_per_page == 50
        assert not registered.show_full_result_count
        assert not registered.has_add_permission(request)
        assert not registered.has_change_permission(request)
        assert not registered.has_delete_permission(request)
        names = {pattern.name for pattern in registered.get_urls()}
        assert not [name for name in names if str(name).endswith(("_add", "_delete", "_history"))]

"""The import contracts forget nobody: what is not listed would pass unseen."""

import tomllib
from pathlib import Path
from typing import Any

from django.apps import apps

ROOT = Path(__file__).resolve().parents[1]
_CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
_APPS = ("metering", "ledger", "plans", "invoicing")

# Entry points and data, which nothing imports and which stand outside the layers.
_OUTSIDE = {
    *("apps", "formats", "management", "migrations", "settings", "static", "static-override", "templatetags", "wsgi"),
}
_PROGRAMS = {"embedded", "stripe_standin"}  # each has contracts of its own, in both directions


def _contract(name: str) -> dict[str, Any]:
    (found,) = [each for each in _CONFIG["contracts"] if each["name"].startswith(name)]
    return dict(found)


def _children(package: str) -> set[str]:
    found = {path.stem for path in (ROOT / package).iterdir() if path.suffix == ".py" or path.is_dir()}
    return found - {"__init__", "__pycache__"}


def _listed(contract: dict[str, Any]) -> set[str]:
    return {part.strip(" ()") for layer in contract["layers"] for part in layer.replace("|", ":").split(":")}


def test_every_module_of_the_desk_and_the_floor_has_its_layer() -> None:
    listed = {name.removeprefix("billing_ops.") for name in _listed(_contract("The house"))}
    assert _children("billing_ops") - _OUTSIDE - _PROGRAMS <= listed


def test_every_app_has_an_exhaustive_contract() -> None:
    for app in _APPS:
        contract = _contract(f"{app}:")
        assert contract["containers"] == [app]
        assert contract["exhaustive"] is True
        assert set(contract["exhaustive_ignores"]) == {"apps", "migrations"}
        assert contract["layers"][-2:] == ["models", "rules | (sql)"]


def test_every_program_is_apart_from_every_module_in_both_directions() -> None:
    modules = {f"billing_ops.{name}" for name in _children("billing_ops") - _OUTSIDE - _PROGRAMS} | set(_APPS)
    for name in ("The Stripe stand-in", "The supervisor"):
        assert modules <= set(_contract(name)["forbidden_modules"])
    apart = _contract("Nothing imports the stand-in or the supervisor")
    assert modules <= set(apart["source_modules"])
    assert {name.removeprefix("billing_ops.") for name in apart["forbidden_modules"]} == _PROGRAMS


def test_a_foreign_key_points_sideways_or_down() -> None:
    """A key named by a string is no import, so the contracts cannot see it."""
    below: dict[str, set[str]] = {
        "billing_ops": set(),
        "metering": {"billing_ops"},
        "ledger": {"billing_ops"},
        "plans": {"metering", "ledger", "billing_ops"},
        "invoicing": {"plans", "metering", "ledger", "billing_ops"},
    }
    checked = 0
    for model in apps.get_models(include_auto_created=True):
        app = model._meta.app_label
        for field in model._meta.get_fields():
            if app in below and field.is_relation and field.concrete and isinstance(field.related_model, type):
                target = field.related_model._meta.app_label
                assert target in below[app] | {app, "auth", "contenttypes"}, f"{field} points up to {target}"
                checked += 1
    assert checked > 20

"""The schemas derived from the SDK are the right ones: against Stripe's samples and an independent derivation."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import stripe_schemas

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "data" / "stripe"
beside = pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference schemas are not beside the repository")


def test_objects_have_what_stripe_always_gives() -> None:
    found = stripe_schemas.objects()["$defs"]
    assert found["charge"]["properties"]["amount"] == {"type": "integer"}
    assert {"id", "object", "amount", "currency", "status"} <= set(found["charge"]["required"])
    assert "payment_intent" not in found["invoice"]["properties"], "gone since 2025-03-31"
    assert found["invoice#Parent.SubscriptionDetails"]["required"] == ["subscription"]


def test_parameters_are_closed() -> None:
    endpoint = stripe_schemas.endpoint("POST", "/v1/invoices/in_1/pay")
    assert endpoint is not None
    validator = stripe_schemas.params_validator(endpoint)
    assert validator.is_valid({"off_session": True})
    assert not validator.is_valid({"of_session": True})
    assert not validator.is_valid({"off_session": "true"})


def test_an_unknown_address_has_no_endpoint() -> None:
    assert stripe_schemas.endpoint("POST", "/v1/invoices/in_1/settle") is None


@beside
def test_objects_equal_the_reference() -> None:
    reference = json.loads((REFERENCE / "objects.schema.json").read_text())["$defs"]
    ours = stripe_schemas.objects()["$defs"]
    compared = [name for name in ours if name in reference]
    assert set(stripe_schemas.OBJECTS) <= set(compared)
    differences = [problem for name in compared for problem in _differences(ours[name], reference[name], name)]
    assert not differences, "\n".join(differences)


@beside
def test_parameters_equal_the_reference() -> None:
    reference = json.loads((REFERENCE / "requests.schema.json").read_text())["$defs"]
    compared, differences = 0, []
    for endpoint in stripe_schemas.endpoints():
        if endpoint.params is None or endpoint.params[1] not in reference:
            continue
        for name, schema in stripe_schemas.params_validator(endpoint).schema["$defs"].items():  # type: ignore[index]  # a schema may be a boolean; ours is not
            if name in reference:
                compared += 1
                differences += _differences(schema, reference[name], name)
    assert compared > 500
    assert not differences, "\n".join(differences)


@beside
def test_stripes_samples_are_valid() -> None:
    samples = json.loads((REFERENCE / "fixtures3.json").read_text())["resources"]
    for name in stripe_schemas.OBJECTS:
        stripe_schemas.object_validator(name).validate(samples[name])


def _differences(ours: Any, theirs: Any, path: str) -> list[str]:
    """Where two schemas differ; a reference that one of them cut to any object equals everything."""
    ours, theirs = _plain(ours), _plain(theirs)
    if {"type": "object"} in (ours, theirs) or ours == theirs:
        return []
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        return [f"{path}: {ours!r} is not {theirs!r}"]
    found = []
    for key in {*ours, *theirs}:
        mine, other = ours.get(key), theirs.get(key)
        if key == "anyOf" and mine is not None and other is not None:
            if {"type": "object"} in mine or {"type": "object"} in other:  # one of them cut some of the references
                mine, other = _without_objects(mine), _without_objects(other)
            if len(mine) != len(other):
                found.append(f"{path}: {mine!r} is not {other!r}")
            else:
                found += [problem for pair in zip(mine, other, strict=True) for problem in _differences(*pair, path)]
        elif key in ("required", "enum", "type") and not isinstance(mine or other, dict):
            if _set(mine) != _set(other):
                found.append(f"{path}.{key}: {mine!r} is not {other!r}")
        elif mine is None or other is None:
            found.append(f"{path}: {key} is only in {'the reference' if mine is None else 'ours'}")
        else:
            found += _differences(mine, other, f"{path}.{key}")
    return found


def _plain(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    schema = {key: value for key, value in schema.items() if key != "$comment" and value != []}
    if schema.get("enum") == ["list", "search_result"]:
        return {"enum": ["list"]}
    if "anyOf" in schema:
        flat: list[Any] = []
        for option in schema["anyOf"]:
            plain = _plain(option)
            flat += plain["anyOf"] if isinstance(plain, dict) and set(plain) == {"anyOf"} else [plain]
        distinct = [option for index, option in enumerate(flat) if option not in flat[:index]]
        return {**schema, "anyOf": distinct} if len(distinct) > 1 else distinct[0]
    return schema


def _without_objects(options: list[Any]) -> list[Any]:
    return [option for option in options if "$ref" not in option and option != {"type": "object"}]


def _set(value: Any) -> frozenset[Any]:
    return frozenset(value) if isinstance(value, list) else frozenset([value])

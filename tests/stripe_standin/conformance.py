"""Whether what was sent to the stand-in, and what it holds and tells, is what Stripe's own types allow."""

import re
from typing import Any

from jsonschema import Draft202012Validator

from tests import stripe_schemas
from tests.stripe_standin.process import Json, Standin

API_VERSION = "2026-10-28.endive"


def assert_conforms(standin: Standin, *, refused: bool = False) -> None:
    """Every logged request has parameters that Stripe knows, at the pinned version; every object and event is valid.

    Requests that were answered 4xx for their form are left out when ``refused`` is true: for tests that send them.
    """
    problems = _requests(standin, refused=refused)
    for kind in stripe_schemas.OBJECTS:
        for found in standin.objects(kind):
            problems += object_problems(found)
    assert not problems, "\n".join(problems)


def assert_requests_conform(standin: Standin) -> None:
    """Every logged request has parameters that Stripe knows, at the pinned version, and a key when it writes."""
    problems = _requests(standin, refused=False)
    assert not problems, "\n".join(problems)


def _requests(standin: Standin, *, refused: bool) -> list[str]:
    return [
        problem
        for one in standin.requests()
        if not (refused and 400 <= one["status"] < 500)
        for problem in _request(one)
    ]


def object_problems(found: Json) -> list[str]:
    """What is wrong with an object of the API: invalid fields, and fields that Stripe does not have."""
    kind = str(found.get("object"))
    if kind not in stripe_schemas.OBJECTS:
        return [f"{kind}: not an object that has a schema"]
    validator = stripe_schemas.object_validator(kind)
    where = f"{kind} {found.get('id')}"
    problems = [f"{where}: {error.json_path}: {error.message}" for error in validator.iter_errors(found)]
    problems += [f"{where}: Stripe has no field {path}" for path in unknown_fields(kind, found)]
    if kind == "event":
        problems += [f"{found['type']} {problem}" for problem in object_problems(found["data"]["object"])]
    return problems


def unknown_fields(kind: str, found: Json) -> list[str]:
    """Paths of fields that the schema of the object does not declare."""
    definitions = stripe_schemas.objects()["$defs"]

    def walk(schema: Json, value: Any, path: str) -> list[str]:
        schema = definitions[schema["$ref"].removeprefix("#/$defs/")] if "$ref" in schema else schema
        if "anyOf" in schema:
            found = [walk(option, value, path) for option in schema["anyOf"] if _fits(option, value, definitions)]
            return min(found, key=len, default=[])
        if isinstance(value, list):
            return [problem for one in value for problem in walk(schema.get("items", {}), one, f"{path}[]")]
        if not isinstance(value, dict) or "properties" not in schema:
            return []
        known = schema["properties"]
        strange = [f"{path}.{name}" for name in value if name not in known]
        return strange + [
            problem for name in value if name in known for problem in walk(known[name], value[name], f"{path}.{name}")
        ]

    return walk({"$ref": f"#/$defs/{kind}"}, found, "")


def _request(one: Json) -> list[str]:
    where = f"{one['method']} {one['path']} ({one['id']})"
    endpoint = stripe_schemas.endpoint(one["method"], one["path"])
    if endpoint is None:
        return [f"{where}: the SDK has no such call"]
    problems = []
    if one["api_version"] != API_VERSION:
        problems.append(f"{where}: version {one['api_version']} instead of {API_VERSION}")
    if one["method"] == "POST" and not one["idempotency_key"]:
        problems.append(f"{where}: no idempotency key")
    validator = stripe_schemas.params_validator(endpoint)
    sent = coerce(validator.schema, one["params"], validator.schema)
    problems += [f"{where}: {error.json_path}: {error.message}" for error in validator.iter_errors(sent)]
    return problems


def coerce(schema: Any, value: Any, whole: Any) -> Any:
    """Form values are strings: what they stand for by the schema (left as they are when they fit nothing)."""
    if "$ref" in schema:
        return coerce(whole["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, whole)
    if "anyOf" in schema:
        meanings = ((option, coerce(option, value, whole)) for option in schema["anyOf"])
        definitions = whole.get("$defs", {})
        fitting = (meant for option, meant in meanings if _fits(option, meant, definitions))
        return next(fitting, value)
    if isinstance(value, list) and schema.get("type") == "object":  # keys that are digits
        value = {str(index): one for index, one in enumerate(value)}
    if isinstance(value, list):
        return [coerce(schema.get("items", {}), one, whole) for one in value]
    if isinstance(value, dict):
        properties, other = schema.get("properties", {}), schema.get("additionalProperties")
        rest = other if isinstance(other, dict) else {}
        return {name: coerce(properties.get(name, rest), one, whole) for name, one in value.items()}
    return _scalar(schema, value)


def _fits(schema: Any, value: Any, definitions: Any) -> bool:
    return Draft202012Validator({**schema, "$defs": definitions}).is_valid(value)


def _scalar(schema: Any, value: str) -> Any:
    if schema.get("type") == "integer" and re.fullmatch(r"-?[0-9]+", value, re.ASCII):
        return int(value)
    if schema.get("type") == "boolean" and value in ("true", "false"):
        return value == "true"
    return value

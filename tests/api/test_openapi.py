"""The OpenAPI document is whole: everything resolves, every operation says what it needs and what it answers."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from billing_ops.kit.http.scopes import SCOPES
from tests.support import api as support
from tests.support.api import openapi, operations

ALWAYS = {"400", "401", "403", "405", "422", "500", "503"}


def _walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item)


def test_it_is_openapi_3_1_with_servers_and_one_way_to_authenticate() -> None:
    document = openapi()
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Billing Ops"
    assert document["servers"]
    assert list(document["components"]["securitySchemes"]) == ["ApiKeyAuth"]
    scheme = document["components"]["securitySchemes"]["ApiKeyAuth"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")


def test_every_reference_resolves() -> None:
    references = [found["$ref"] for found in _walk(openapi()) if "$ref" in found]
    assert references
    for reference in references:
        support.resolve(reference)


def test_every_schema_is_a_schema() -> None:
    for schema in openapi()["components"]["schemas"].values():
        support.check_schema(schema)
    for _, _, operation in operations():
        for parameter in operation["parameters"]:
            support.check_schema(parameter.get("schema", {}))


def test_operation_ids_are_unique_and_readable() -> None:
    names = Counter(operation["operationId"] for _, _, operation in operations())
    assert max(names.values()) == 1
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in operations()])
def test_an_operation_says_what_it_needs_and_answers(method: str, path: str) -> None:
    operation = openapi()["paths"][path][method.lower()]
    ((scheme, scopes),) = operation["security"][0].items()
    assert scheme == "ApiKeyAuth"
    assert len(scopes) == 1
    assert scopes[0] in SCOPES
    assert f"`{scopes[0]}`" in operation["description"]
    assert len(operation["description"]) > 30, "it has a docstring"
    known_tags = {tag["name"] for tag in openapi()["tags"]}
    assert set(operation["tags"]) <= known_tags
    assert operation["tags"]
    statuses = set(operation["responses"])
    assert statuses >= ALWAYS
    assert sum(status.startswith("2") for status in statuses) >= 1
    named = set(re.findall(r"\{([^}]+)\}", path))
    assert {parameter["name"] for parameter in operation["parameters"] if parameter.get("in") == "path"} == named
    if named:
        assert "404" in statuses
    keyed = {"$ref": "#/components/parameters/IdempotencyKey"} in operation["parameters"]
    if method != "GET":
        assert {"411", "413", "415"} <= statuses
    assert not keyed or method == "POST"
    if keyed:
        assert "409" in statuses


def test_each_scope_is_used_or_is_not_offered() -> None:
    used = {operation["security"][0]["ApiKeyAuth"][0] for _, _, operation in operations()}
    assert used == set(SCOPES)


def test_each_tag_is_used() -> None:
    used = {tag for _, _, operation in operations() for tag in operation["tags"]}
    assert used == {tag["name"] for tag in openapi()["tags"]}


def test_requests_refuse_unknown_fields_and_no_amount_is_a_number() -> None:
    for _, _, operation in operations():
        content = operation.get("requestBody", {}).get("content", {})
        for reference in [found["$ref"] for found in _walk(content) if "$ref" in found]:
            schema = support.resolve(reference)
            if schema.get("type") == "object" and "properties" in schema:
                assert schema.get("additionalProperties") is False, reference
    floats = [found for found in _walk(openapi()["components"]["schemas"]) if found.get("type") == "number"]
    assert not floats


def test_what_makes_something_takes_a_key() -> None:
    """Events and draws carry their own identity, and a rating makes nothing; every other POST makes something."""
    without = {
        path
        for method, path, operation in operations()
        if method == "POST" and {"$ref": "#/components/parameters/IdempotencyKey"} not in operation["parameters"]
    }
    assert without == {"/api/v1/events", "/api/v1/prices/preview", "/api/v1/draws", "/api/v1/draws/batch"}


def test_the_document_and_the_page_need_no_key(db: None) -> None:
    client = Client()
    assert client.get("/api/v1/openapi.json").json()["openapi"].startswith("3.1")
    page = client.get("/api/v1/docs")
    text = page.content.decode()
    assert page.status_code == 200
    assert "/api/v1/openapi.json" in text
    assert "http" not in re.sub(r"<!DOCTYPE[^>]*>", "", text), "nothing is loaded from elsewhere"
    assert not re.search(r"<script(?![^>]*\bsrc=)", text), "no inline script"
    assert "<style" not in text


def test_where_it_is_not_public_the_page_is_for_staff(db: None, settings: Any, django_user_model: Any) -> None:
    settings.API_DOCS_PUBLIC = False
    staff = Client()
    staff.force_login(django_user_model.objects.create_user("staff", is_staff=True))
    for path in ("/api/v1/docs", "/api/v1/openapi.json"):
        answer = Client().get(path)
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/console/login/")
        assert staff.get(path).status_code == 200

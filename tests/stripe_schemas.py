"""JSON Schemas of Stripe's objects and request parameters, derived from the type annotations of the installed SDK.

The SDK's types are generated from Stripe's OpenAPI description, so they are the closest thing to a contract that can be
had offline. Objects allow further fields; ``Optional`` is absent or null; request parameters allow nothing that is not
declared; ``Literal[…] | str`` is an open set. Objects outside :data:`OBJECTS` are cut to ``{"type": "object"}``.
"""

import ast
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

Schema = dict[str, Any]

OBJECTS: dict[str, str] = {
    "balance": "stripe._balance",
    "balance_transaction": "stripe._balance_transaction",
    "charge": "stripe._charge",
    "customer": "stripe._customer",
    "event": "stripe._event",
    "invoice": "stripe._invoice",
    "invoice_payment": "stripe._invoice_payment",
    "invoiceitem": "stripe._invoice_item",
    "line_item": "stripe._invoice_line_item",
    "payment_intent": "stripe._payment_intent",
    "payment_method": "stripe._payment_method",
    "payout": "stripe._payout",
    "refund": "stripe._refund",
    "webhook_endpoint": "stripe._webhook_endpoint",
}
"""Objects with a schema, and the modules of their classes."""

_CUT: Schema = {"type": "object"}
_PLAIN: dict[str, Schema] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "float": {"type": "number"},
    "Decimal": {"type": ["string", "number"]},
    "Any": {},
    "object": {},
}


@dataclass(frozen=True)
class Endpoint:
    """One call of the SDK: verb, path with ``{names}``, and the parameters' module and class (None: takes none)."""

    verb: str
    path: str
    params: tuple[str, str] | None

    @property
    def pattern(self) -> re.Pattern[str]:
        """The path as an expression."""
        return re.compile(re.sub(r"\{\w+\}", "[^/]+", self.path))


def _file(module: str) -> Path:
    spec = importlib.util.find_spec("stripe")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent.joinpath(*module.split(".")[1:]).with_suffix(".py")


@cache
def _module(name: str) -> ast.Module:
    return ast.parse(_file(name).read_text())


@cache
def _imports(module: str) -> dict[str, tuple[str, str]]:
    """Local name → (module, name), wherever in the file it is imported."""
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(_module(module))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def _classes(body: list[ast.stmt]) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in body if isinstance(node, ast.ClassDef)}


def _object_name(node: ast.ClassDef) -> str | None:
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.target.id == "OBJECT_NAME":
            assert isinstance(line.value, ast.Constant)
            return str(line.value.value)
    return None


class _Deriver:
    """Collects ``$defs`` while it converts annotations; a class becomes a definition when it is first referred to."""

    def __init__(self) -> None:
        self.defs: dict[str, Schema] = {}

    # Objects: classes, nested ones named "invoice#Parent.SubscriptionDetails"

    def object(self, name: str) -> Schema:
        """A reference to the schema of an object of the API."""
        if name not in OBJECTS:
            return _CUT
        if name not in self.defs:
            module = OBJECTS[name]
            node = next(
                found
                for found in _module(module).body
                if isinstance(found, ast.ClassDef) and _object_name(found) == name
            )
            self._class(name, module, [node], closed=False)
        return {"$ref": f"#/$defs/{name}"}

    def params(self, module: str, name: str) -> Schema:
        """A reference to the schema of a parameters class."""
        if name not in self.defs:
            self._class(name, module, [_classes(_module(module).body)[name]], closed=True)
        return {"$ref": f"#/$defs/{name}"}

    def _class(self, key: str, module: str, scope: list[ast.ClassDef], *, closed: bool) -> None:
        schema: Schema = {"type": "object", "properties": {}, "required": []}
        if closed:
            schema["additionalProperties"] = False
        self.defs[key] = schema  # before the fields, which may refer back to it
        for name, annotation in _fields(scope[-1]):
            optional = _heads(annotation) & ({"NotRequired"} if closed else {"Optional"})
            schema["properties"][name] = self._convert(annotation, module, scope, closed=closed)
            if not optional:
                schema["required"].append(name)

    def _convert(self, node: ast.expr, module: str, scope: list[ast.ClassDef], *, closed: bool) -> Schema:
        def inner(one: ast.expr) -> Schema:
            return self._convert(one, module, scope, closed=closed)

        found: Schema
        match node:
            case ast.Constant(value=str(text)):
                found = inner(ast.parse(text, mode="eval").body)
            case ast.Constant(value=None):
                found = {"type": "null"}
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                found = {"anyOf": [inner(left), inner(right)]}
            case ast.Subscript(value=ast.Name(id=head), slice=argument):
                found = self._subscript(head, argument, inner)
            case ast.Name(id=name) if name in _PLAIN:
                found = _PLAIN[name]
            case ast.Name() | ast.Attribute():
                found = self._named(ast.unparse(node).split("."), module, scope, closed=closed)
            case _:
                raise NotImplementedError(ast.unparse(node))
        return found

    @staticmethod
    def _subscript(head: str, argument: ast.expr, inner: Any) -> Schema:
        parts = argument.elts if isinstance(argument, ast.Tuple) else [argument]
        found: Schema
        match head:
            case "Optional":
                found = {"anyOf": [inner(argument), {"type": "null"}]}
            case "NotRequired":
                found = inner(argument)
            case "Union":
                found = {"anyOf": [inner(part) for part in parts]}
            case "Literal":
                found = {"enum": [ast.literal_eval(part) for part in parts]}
            case "List" | "Sequence":
                found = {"type": "array", "items": inner(argument)}
            case "Dict" | "Mapping" | "UntypedStripeObject":
                found = {"type": "object", "additionalProperties": inner(parts[-1])}
            case "ExpandableField":
                found = {"anyOf": [{"type": "string"}, inner(argument)]}
            case "ListObject":
                found = _list_of(inner(argument))
            case _:
                raise NotImplementedError(head)
        return found

    def _named(self, path: list[str], module: str, scope: list[ast.ClassDef], *, closed: bool) -> Schema:
        """A class by its name: nested in an enclosing one, of this module, or imported."""
        if closed:
            local = _classes(_module(module).body)
            source = (module, path[0]) if path[0] in local else _imports(module)[path[0]]
            return self.params(*source)
        for depth in range(len(scope), 0, -1):
            nested = _classes(scope[depth - 1].body).get(path[0])
            if nested is not None:
                chain = [*scope[:depth], nested]
                for step in path[1:]:
                    chain.append(_classes(chain[-1].body)[step])
                return self._nested(module, chain)
        return self._elsewhere(path, module)

    def _nested(self, module: str, chain: list[ast.ClassDef]) -> Schema:
        key = f"{_object_name(chain[0])}#{'.'.join(node.name for node in chain[1:])}"
        if key not in self.defs:
            self._class(key, module, chain, closed=False)
        return {"$ref": f"#/$defs/{key}"}

    def _elsewhere(self, path: list[str], module: str) -> Schema:
        local = _classes(_module(module).body)
        source, name = (module, path[0]) if path[0] in local else _imports(module)[path[0]]
        if not source.startswith("stripe"):
            raise NotImplementedError(f"{source}.{name}")
        node = _classes(_module(source).body).get(name)
        kind = _object_name(node) if node is not None else None
        return self.object(kind) if kind is not None and OBJECTS.get(kind) == source else _CUT


def _list_of(item: Schema) -> Schema:
    fields = {
        "object": {"enum": ["list"]},
        "data": {"type": "array", "items": item},
        "has_more": {"type": "boolean"},
        "url": {"type": "string"},
    }
    return {"type": "object", "properties": fields, "required": ["object", "data", "has_more"]}


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for line in node.body:
        if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name):
            continue
        if not line.target.id.startswith("_") and "ClassVar" not in _heads(line.annotation):
            yield line.target.id, line.annotation


def _heads(annotation: ast.expr) -> set[str]:
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name):
        return {annotation.value.id}
    return set()


@cache
def objects() -> Schema:
    """``{"$defs": {object: schema}}`` of :data:`OBJECTS`."""
    deriver = _Deriver()
    for name in OBJECTS:
        deriver.object(name)
    return {"$defs": deriver.defs}


@cache
def object_validator(name: str) -> Draft202012Validator:
    """A validator of one kind of object."""
    return Draft202012Validator({"$ref": f"#/$defs/{name}", **objects()})


@cache
def endpoints() -> tuple[Endpoint, ...]:
    """Every call of the SDK's version 1 services, literal paths before those with names."""
    folder = _file("stripe._x").parent
    found = [endpoint for path in sorted(folder.glob("_*_service.py")) for endpoint in _calls(f"stripe.{path.stem}")]
    return tuple(sorted(found, key=lambda one: one.path.count("{")))


def _calls(module: str) -> Iterator[Endpoint]:
    for method in ast.walk(_module(module)):
        if not isinstance(method, ast.FunctionDef):
            continue
        for node in ast.walk(method):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_request":
                verb, path = _literal(node.args[0]), _literal(node.args[1])
                if verb and path and path.startswith("/v1/"):
                    yield Endpoint(verb, path, _params_of(method, module))


def _literal(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):  # "…{id}".format(id=…)
        return _literal(node.func.value)
    return None


def _params_of(method: ast.FunctionDef, module: str) -> tuple[str, str] | None:
    for argument in method.args.args:
        if argument.arg == "params" and argument.annotation is not None:
            names = re.findall(r"\w+Params", ast.unparse(argument.annotation))
            return _imports(module)[names[0]] if names else None
    return None


def endpoint(verb: str, path: str) -> Endpoint | None:
    """The SDK's call that such a request comes from."""
    for one in endpoints():
        if one.verb == verb.lower() and one.pattern.fullmatch(path):
            return one
    return None


@cache
def params_validator(found: Endpoint) -> Draft202012Validator:
    """A validator of the (coerced) parameters of an endpoint."""
    if found.params is None:
        return Draft202012Validator({"type": "object", "additionalProperties": False})
    deriver = _Deriver()
    reference = deriver.params(*found.params)
    return Draft202012Validator({**reference, "$defs": deriver.defs})

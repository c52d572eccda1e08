"""Form bodies as Stripe's libraries write them: ``a[b]=1``, ``items[0][price]=p``, ``expand[]=x``."""

import re
from urllib.parse import parse_qsl

from billing_ops.stripe_standin.errors import Json, at_the_door

MAX_DEPTH = 10
_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


def decode(text: str) -> Json:
    """Nested dicts and lists of strings. Raises a 400 for a key that cannot be read or is used in two ways."""
    root: Json = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        _place(root, _parts(key), value, key)
    return {name: _lists(value) for name, value in root.items()}


def _parts(key: str) -> list[str]:
    match = _KEY.fullmatch(key)
    parts = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])] if match else []
    if not parts or len(parts) > MAX_DEPTH:
        raise at_the_door(400, f"Invalid parameter name: {key[:80]}", param=key[:80])
    return parts


def _place(root: Json, parts: list[str], value: str, key: str) -> None:
    here = root
    for part in parts[:-1]:
        here = here.setdefault(part or str(len(here)), {})
        if not isinstance(here, dict):
            raise at_the_door(400, f"Invalid object: {key[:80]}", param=key[:80])
    last = parts[-1] or str(len(here))
    if isinstance(here.get(last), dict):
        raise at_the_door(400, f"Invalid object: {key[:80]}", param=key[:80])
    here[last] = value


def _lists(value: object) -> object:
    """A dict whose keys are 0…n-1 was written as a list."""
    if not isinstance(value, dict):
        return value
    inner = {name: _lists(item) for name, item in value.items()}
    if inner and all(name.isascii() and name.isdigit() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner

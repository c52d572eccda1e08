"""Where a page of events ended, as text for an address: signed, so that only what we gave comes back."""

import json

from django.core import signing

_SALT = "console.events"


def write_cursor(*parts: str) -> str:
    """The cursor of the next page."""
    return signing.Signer(salt=_SALT).sign_object(json.dumps(parts))


def read_cursor(text: str, *, parts: int) -> list[str] | None:
    """The parts of a cursor; None for the first page or for a cursor that is not ours."""
    if not text:
        return None
    try:
        found = json.loads(signing.Signer(salt=_SALT).unsign_object(text))
    except (signing.BadSignature, ValueError):
        return None
    return found if isinstance(found, list) and len(found) == parts else None

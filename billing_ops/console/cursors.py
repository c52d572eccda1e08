"""Where a page of events ended, as text for an address: signed, so that only what we gave comes back."""

import json
from datetime import datetime

from django.core import signing

from metering.usage import Position

_SALT = "console.events"


def write_position(position: Position) -> str:
    """The cursor of the next page."""
    said = [position.occurred_at.isoformat(), position.source, position.event_id]
    return signing.Signer(salt=_SALT).sign_object(json.dumps(said))


def read_position(text: str) -> Position | None:
    """The position in a cursor; None for the first page or for a cursor that is not ours."""
    if not text:
        return None
    try:
        at, source, event_id = json.loads(signing.Signer(salt=_SALT).unsign_object(text))
    except (signing.BadSignature, ValueError):
        return None
    return Position(datetime.fromisoformat(at), source, event_id)

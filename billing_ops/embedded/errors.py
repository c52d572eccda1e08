"""What can go wrong while starting, told so that a person can act on it."""


class StartError(Exception):
    """The stack cannot start or go on; the message says what happened and what to do."""

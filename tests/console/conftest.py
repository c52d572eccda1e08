from tests.console.fixtures import _quiet_copy, as_role, desk, desk_db, desk_original, quiet_desk

__all__ = ["_quiet_copy", "as_role", "desk", "desk_db", "desk_original", "quiet_desk"]

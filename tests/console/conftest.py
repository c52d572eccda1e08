from tests.console.fixtures import as_role, desk, desk_db, desk_original

__all__ = ["as_role", "desk", "desk_db", "desk_original"]

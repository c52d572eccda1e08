"""As whom the database and the broker run when we are root, which PostgreSQL refuses to be.

First choice: a user namespace in which root is called nobody. It needs no user and changes no owner, but is forbidden
on some systems. Second: the user nobody itself, to whom the data directory is then given.
"""

import os
import shutil
import subprocess
from pathlib import Path

from billing_ops.embedded.processes import Identity

_NOBODY = 65534
_UNSHARE = ("--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}", "--")


def service_identity(data: Path) -> Identity:
    """How to run the owner of ``data`` (made, empty or not). A directory keeps the owner that it has."""
    if os.geteuid() != 0:
        return Identity()
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Identity(uid=owner.st_uid, gid=owner.st_gid)
    unshare = shutil.which("unshare")
    if unshare and _works([unshare, *_UNSHARE, "true"]):
        return Identity(prefix=(unshare, *_UNSHARE))
    return Identity(uid=_NOBODY, gid=_NOBODY)


def own(path: Path, identity: Identity) -> None:
    """Give a directory that we just made to whoever works in it."""
    if identity.uid is not None and identity.gid is not None and os.geteuid() == 0:
        os.chown(path, identity.uid, identity.gid)


def _works(command: list[str]) -> bool:
    done = subprocess.run(command, capture_output=True, timeout=10, check=False)  # noqa: S603  # a fixed command
    return done.returncode == 0

"""Command line: ``up`` (make run), ``reset``, ``manage`` (manage.py there), ``create-database`` (on a server)."""

import argparse
import os
import subprocess
import sys

import psycopg

from billing_ops.embedded import configuration, roles
from billing_ops.embedded.errors import StartError
from billing_ops.embedded.home import Home, default_root
from billing_ops.embedded.stack import Stack, reset
from billing_ops.embedded.supervisor import Supervisor


def main() -> int:
    """Parse the command line and run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m billing_ops.embedded", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start everything and stay in the foreground")
    commands.add_parser("reset", help="delete the data, logs and secrets of this installation")
    manage = commands.add_parser("manage", help="run a command of manage.py on what ``up`` started")
    manage.add_argument("arguments", nargs=argparse.REMAINDER, help="e.g. create_person ann --role Finance")
    create = commands.add_parser(
        "create-database",
        help="make the roles and the database on a server; a password comes from BILLING_APP_PASSWORD and "
        "BILLING_MIGRATOR_PASSWORD",
    )
    create.add_argument(
        "admin_url", help="a superuser's address of the server, e.g. postgres://postgres@db:5432/postgres"
    )
    create.add_argument("--name", default="billing_ops", help="of the database (default: billing_ops)")
    options = parser.parse_args()
    if options.command == "up":
        return Supervisor(Home(default_root())).run()
    try:
        if options.command == "reset":
            print(f"Emptied {reset(Home(default_root()))}.")
        elif options.command == "manage":
            env = Stack(Home(default_root()), configuration.read(), say=print, stopping=bool).attach()
            command = [sys.executable, "manage.py", *options.arguments]
            return subprocess.run(command, env=env, check=False).returncode  # noqa: S603  # typed by the operator
        else:
            create_database(options.admin_url, options.name)
            print(f"Database {options.name} and its roles are ready; migrate it with: make migrate")
    except (StartError, psycopg.Error) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def create_database(admin_url: str, name: str) -> None:
    """Make the roles and an empty database that migrations fit; run again it completes what is missing."""
    with psycopg.connect(admin_url, autocommit=True) as admin:
        roles.ensure_roles(
            admin,
            app_password=os.environ.get("BILLING_APP_PASSWORD") or None,
            migrator_password=os.environ.get("BILLING_MIGRATOR_PASSWORD") or None,
        )
        roles.ensure_database(admin, name)
    with psycopg.connect(admin_url, dbname=name, autocommit=True) as inside:
        roles.furnish_database(inside)


if __name__ == "__main__":
    sys.exit(main())

"""Change the code in small ways and see whether a test notices: ``python -m tests.mutation [pass …]``.

Each pass works on a copy of the tracked files in ``var/mutation/`` and takes up again where it was stopped; delete
the copy to begin anew. The survivors are printed, and written beside the copy.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "var" / "mutation"
SOURCES = ("billing_ops", "metering", "ledger", "plans", "invoicing")

# What is decided in memory is tested without a database; the door needs one.
PASSES: dict[str, tuple[list[str], list[str], list[str]]] = {
    "rules": (
        ["ledger/deciding.py", "ledger/rules/burndown.py", "ledger/rules/entries.py", "ledger/rules/movements/*.py"],
        [
            "tests/ledger/test_burn_order.py",
            "tests/ledger/test_deciding.py",
            "tests/ledger/test_entries.py",
            "tests/ledger/test_movements.py",
            "tests/properties/test_ledger_burndown.py",
            "tests/properties/test_ledger_movements.py",
        ],
        ["-m", "not django_db"],
    ),
    "door": (["ledger/posting.py"], ["tests/ledger/test_posting.py"], []),
}


def prepare(name: str) -> Path:
    """A copy of the tracked files, with the pass's configuration."""
    only, tests, args = PASSES[name]
    copy = HOME / name
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for each in filter(None, listed.split("\0")):
        source, target = ROOT / each, copy / each
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    options = {
        "source_paths": SOURCES,
        "only_mutate": only,
        "also_copy": ["manage.py"],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "--hypothesis-profile=mutation", *args],
        "pytest_add_cli_args_test_selection": tests,
    }
    lines = [f"{key} =\n" + "".join(f"    {value}\n" for value in values) for key, values in options.items()]
    config = "[mutmut]\n" + "".join(lines) + "timeout_constant = 20.0\ntrack_dependencies = false\n"
    (copy / "setup.cfg").write_text(config)
    return copy


def main(names: list[str]) -> None:
    """Run the passes and say what survived."""
    mutmut = [sys.executable, "-m", "mutmut"]
    for name in names:
        copy = prepare(name)
        subprocess.run(["nice", "-n", "15", *mutmut, "run", "--max-children", "2"], cwd=copy, check=False)
        found = subprocess.run([*mutmut, "results"], cwd=copy, capture_output=True, check=True).stdout.decode()
        (HOME / f"{name}.txt").write_text(found)
        print(found)


if __name__ == "__main__":
    main(sys.argv[1:] or list(PASSES))

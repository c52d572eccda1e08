"""The README tells the truth: its paths exist, its commands are targets, its variables are read."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    return README.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_every_path_of_the_where_is_table_exists() -> None:
    rows = [row for row in section("Where is …?").splitlines() if row.startswith("|")][2:]
    assert len(rows) > 20
    for row in rows:
        for path in re.findall(r"`([^`]+)`", row.split("|")[2]):
            assert (ROOT / path).exists(), f"README: {path} does not exist"


def test_every_path_of_the_money_table_exists() -> None:
    paths = re.findall(r"`((?:metering|invoicing|ledger|plans)/[^`]*)`", section("How money flows"))
    assert len(paths) >= 6
    for path in paths:
        assert (ROOT / path).exists(), f"README: {path} does not exist"


def test_every_make_command_it_names_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make (?:-s )?([a-z][a-z-]+)", README)) - {"it"} <= targets


def test_every_variable_it_names_is_read_by_the_settings() -> None:
    readers = [path for folder in ("settings", "embedded") for path in (ROOT / "billing_ops" / folder).glob("*.py")]
    settings = "\n".join(path.read_text() for path in readers)
    named = set(re.findall(r"`([A-Z][A-Z0-9_]{4,})`", section("On real services")))
    assert len(named) > 8
    assert {name for name in named if name not in settings} == set()


def test_every_app_has_its_page() -> None:
    for app in ("billing_ops", "metering", "ledger", "plans", "invoicing"):
        assert (ROOT / app / "README.md").exists(), f"{app} has no README"


def test_no_relative_path_in_an_app_page_is_dead() -> None:
    known = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for app in ("metering", "ledger", "plans", "invoicing"):
        page = (ROOT / app / "README.md").read_text()
        for path in re.findall(r"`((?:rules|sql|migrations|stripe|tests|billing_ops)/[\w./]+\.\w+)`", page):
            assert path in known or f"{app}/{path}" in known, f"{app}/README.md: {path} does not exist"

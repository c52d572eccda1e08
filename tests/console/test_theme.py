"""The theme is treated as vendored: what we replace is known by its hash, so an upgrade cannot slip by unread."""

import hashlib
import json
from pathlib import Path

import unfold

ROOT = Path(__file__).resolve().parents[2]
UPSTREAM = Path(unfold.__file__).parent / "templates"
OURS = ROOT / "templates"
KNOWN = json.loads((Path(__file__).parent / "upstream_templates.json").read_text())


def _overridden() -> set[str]:
    ours = {path.relative_to(OURS).as_posix() for path in OURS.rglob("*.html")}
    return {name for name in ours if (UPSTREAM / name).exists()}


def test_every_template_we_override_is_known_and_unchanged_upstream() -> None:
    present = {name: hashlib.sha256((UPSTREAM / name).read_bytes()).hexdigest() for name in sorted(_overridden())}
    assert present == KNOWN, "unfold changed or another template is overridden: compare, adapt ours, then note the hash"


def test_alpine_is_the_build_without_eval() -> None:
    served = ROOT / "billing_ops/static-override/unfold/js/alpine/alpine.js"
    text = served.read_text()
    assert 'version:"3.17.4"' in text
    assert "new AsyncFunction" not in text
    assert "Function(" not in text
    digest = hashlib.sha256(served.read_bytes()).hexdigest()
    assert digest == "0d18d7f8d7910e2e0212f0f056b12f50bebc3abb7d88d2f7c7cb4c336fe4519a"


def test_our_file_is_the_one_that_is_served() -> None:
    from django.contrib.staticfiles import finders

    found = finders.find("unfold/js/alpine/alpine.js")
    assert found
    assert "static-override" in str(found)


def test_no_template_of_ours_has_inline_script_style_or_handlers() -> None:
    import re

    inline = re.compile(r"<style|<script(?![^>]*\bsrc=)|\son[a-z]+\s*=\s*[\"']|javascript:|style=[\"']", re.IGNORECASE)
    found = {
        path.relative_to(OURS).as_posix(): match.group()
        for path in OURS.rglob("*.html")
        if path.parts[len(OURS.parts)] in ("console", "admin", "unfold") and (match := inline.search(path.read_text()))
    }
    assert found == {}

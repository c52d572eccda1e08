"""Settings of the console: the theme, the Content-Security-Policy and the headers a browser gets."""

import os
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF, UNSAFE_INLINE

_PACKAGE = Path(__file__).resolve().parent.parent

# Files that replace the theme's own (Alpine's build without eval) come before the apps' static files.
STATICFILES_DIRS = [_PACKAGE / "static-override", _PACKAGE / "console" / "static"]
# In tests nothing is collected first; elsewhere the hashed copies of collectstatic are served.
WHITENOISE_USE_FINDERS = os.environ.get("BILLING_ENV") == "test"

# No inline script, no inline style sheet, no eval, no other host. Style *attributes* stay allowed: the theme's lists
# set widths through them, and without style sheets or scripts an attribute cannot load or run anything.
CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "style-src-elem": [SELF],
        "style-src-attr": [UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# Not "no-referrer": with it a browser sends "Origin: null" on our own forms and the CSRF check refuses them.
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
PERMISSIONS_POLICY = (
    "accelerometer=(), browsing-topics=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), "
    "magnetometer=(), microphone=(), midi=(), payment=(), publickey-credentials-get=(), usb=()"
)

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

SESSION_COOKIE_AGE = 12 * 60 * 60
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"

FORMAT_MODULE_PATH = ["billing_ops.formats"]

LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Billing Ops",
    "SITE_HEADER": "Billing Ops",
    "SITE_URL": None,
    "SITE_SYMBOL": "receipt_long",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "COMMAND": {"search_models": False, "show_history": False, "search_callback": None},
    "SIDEBAR": {"show_search": False, "command_search": False, "show_all_applications": False, "navigation": []},
}

"""WSGI entry point; production runs it under granian (see the Makefile and the README)."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_ops.settings")

application = get_wsgi_application()

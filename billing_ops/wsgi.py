"""WSGI entry point; production runs it under granian (see the Makefile and the README)."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_ops.settings")
os.environ.setdefault("BILLING_PROCESS", "web")  # statements that a person waits for have a limit

application = get_wsgi_application()

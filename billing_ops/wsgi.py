"""WSGI entry point; production runs it under granian (see the Makefile and the README)."""

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_ops.settings")
os.environ.setdefault("BILLING_PROCESS", "web")  # statements that a person waits for have a limit

application = get_wsgi_application()

# What is loaded by now lives as long as the process: a full collection, which a request of thousands of draws sets off,
# need not look at it again.
gc.collect()
gc.freeze()

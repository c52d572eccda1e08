"""``manage.py load_demo``: three months of fourteen customers, and a login for each role. Once; again it resumes."""

import os
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management.base import BaseCommand, CommandError

from billing_ops.demo import story
from billing_ops.kit import clock

PEOPLE = (
    ("support", "Sam", "Support", "Support"),
    ("finance", "Fay", "Finance", "Finance"),
    ("engineer", "Eli", "Engineer", "Engineer"),
)


class Command(BaseCommand):
    help = "Load the demo: fourteen customers with three months of history, and a login for each role."

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.BILLING_ENV == "production":
            raise CommandError("Demo data do not belong into production. Nothing was changed.")
        for username, first, last, group in PEOPLE:
            password = os.environ.get(f"BILLING_DEMO_PASSWORD_{username.upper()}")
            if not password:
                raise CommandError(f"Set BILLING_DEMO_PASSWORD_{username.upper()} to the password of {username}.")
            user, _ = User.objects.get_or_create(
                username=username, defaults={"first_name": first, "last_name": last, "is_staff": True}
            )
            user.set_password(password)
            user.save()
            user.groups.set([Group.objects.get(name=group)])
        story.play(until=clock.now(), say=self.stdout.write)

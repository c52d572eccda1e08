from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing_ops", "0002_append_only")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="SignInTries",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("username", models.CharField(max_length=150)),
                ("address", models.CharField(max_length=45)),
                ("failures", models.PositiveSmallIntegerField(default=0)),
                ("last_at", models.DateTimeField(db_index=True)),
                ("locked_until", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name_plural": "sign-in tries",
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("username", "address"), name="sign_in_tries_once")],
            },
        ),
    ]

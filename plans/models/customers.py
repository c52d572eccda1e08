from typing import ClassVar

from django.db import models
from django.db.models.functions import Lower


class Customer(models.Model):
    """Who is billed. ``key`` is the product's name for the customer and the ``subject`` of its usage events.

    Usage may arrive before the customer exists: the key ties them together, not a foreign key, so the key never
    changes. ``currency`` and ``time_zone`` (IANA, decides where billing days and months begin) are fixed once there is
    a subscription: trigger ``customer_terms_fixed``.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE"

    key = models.CharField(max_length=128, unique=True)
    name = models.CharField(max_length=200)
    email = models.EmailField(max_length=254, blank=True)
    currency = models.CharField(max_length=3)
    time_zone = models.CharField(max_length=64, default="UTC")
    line1 = models.CharField(max_length=200, blank=True)
    line2 = models.CharField(max_length=200, blank=True)
    city = models.CharField(max_length=100, blank=True)
    region = models.CharField(max_length=100, blank=True)
    postal_code = models.CharField(max_length=32, blank=True)
    country = models.CharField(max_length=2, blank=True)
    tax_id = models.CharField(max_length=64, blank=True)
    # Stripe's ids, NULL until known. The payment method is a reference; no card data is ever stored.
    stripe_id = models.CharField(max_length=64, unique=True, null=True, blank=True)
    default_payment_method = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["key"]
        indexes: ClassVar = [
            models.Index(Lower("email"), name="customer_email_lower"),
            models.Index(Lower("name"), name="customer_name_lower"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(currency__regex=r"^[A-Z]{3}$"), name="customer_currency_iso"),
            models.CheckConstraint(
                condition=models.Q(key__regex=r"^[A-Za-z0-9][A-Za-z0-9._:@-]*$"), name="customer_key_shape"
            ),
            models.CheckConstraint(
                condition=models.Q(country="") | models.Q(country__regex=r"^[A-Z]{2}$"), name="customer_country_iso"
            ),
            models.CheckConstraint(
                condition=models.Q(stripe_id__isnull=True) | ~models.Q(stripe_id=""), name="customer_stripe_id_or_null"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.key})"

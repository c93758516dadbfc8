"""Answers kept for a day, so that a request sent twice acts once."""

from __future__ import annotations

from django.db import models

from accounts.models import User


class KeptAnswer(models.Model):
    """``fingerprint`` is over method, path and body; ``status`` None while the first one runs."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=100)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)
    location = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "key"], name="one_answer_a_user_and_key")
        ]

    def __str__(self) -> str:
        return f"{self.key}: {self.status}"

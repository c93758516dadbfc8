"""Entries of a package that was disclosed before they were made lack the mark."""

from typing import Any

from django.db import migrations


def mark(apps: Any, schema_editor: Any) -> None:
    entries = apps.get_model("tournaments", "Entry").objects
    shown = entries.filter(disclosed_at__isnull=False, submission__isnull=False)
    first: dict[str, Any] = {}
    for package, at in shown.order_by("disclosed_at").values_list(
        "submission__sha256", "disclosed_at"
    ):
        first.setdefault(package, at)
    for package, at in first.items():
        entries.filter(submission__sha256=package, disclosed_at__isnull=True).update(
            disclosed_at=at
        )


class Migration(migrations.Migration):
    dependencies = [("tournaments", "0009_good_words"), ("submissions", "0002_thieves")]
    operations = [migrations.RunPython(mark, migrations.RunPython.noop)]

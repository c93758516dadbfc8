from __future__ import annotations

from typing import Any

from rest_framework import serializers


class TaskSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField()
    licence = serializers.CharField()
    version = serializers.IntegerField()
    shape = serializers.ListField(child=serializers.IntegerField())
    classes = serializers.ListField(child=serializers.CharField())
    grid = serializers.IntegerField(allow_null=True)
    floor = serializers.FloatField(help_text="Clean accuracy below which nothing is ranked.")
    abstention_share = serializers.FloatField()
    device = serializers.CharField(help_text="Where players may compute: cpu or cuda.")
    norms = serializers.DictField(
        child=serializers.ListField(child=serializers.FloatField()), help_text="Usual epsilons."
    )


class TaskDetailSerializer(TaskSerializer):
    schema_version = serializers.IntegerField()
    digest = serializers.CharField(help_text="The same digest means the same data.")
    splits = serializers.DictField()
    cost = serializers.JSONField(allow_null=True)
    mutable = serializers.JSONField(allow_null=True)
    add_only = serializers.JSONField(allow_null=True, help_text="Features that may only grow.")
    features = serializers.ListField(child=serializers.CharField(), help_text="Their names.")
    scaling = serializers.JSONField(
        allow_null=True,
        help_text="What 0 and 1 of each feature stand for, before scaling (low, high); else null.",
    )
    attacker_class = serializers.IntegerField(
        allow_null=True, help_text="The class whose examples belong to attackers."
    )
    target = serializers.JSONField(
        allow_null=True,
        help_text="Regression tasks: what is predicted (name, unit, low, high); else null.",
    )

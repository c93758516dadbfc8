from __future__ import annotations

from typing import Any

from rest_framework import serializers


class EventSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    kind = serializers.CharField()
    at = serializers.DateTimeField()
    payload = serializers.DictField()


class EventsSerializer(serializers.Serializer[Any]):
    """Ask again with ``after`` = ``cursor``; at once where ``more``."""

    events = EventSerializer(many=True)
    cursor = serializers.IntegerField()
    more = serializers.BooleanField()

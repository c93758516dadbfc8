from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

import arena.tasks
from api.serializers.tasks import TaskDetailSerializer, TaskSerializer
from api.views.base import View, problem
from events.errors import NotThere


@extend_schema(tags=["tasks"])
class TasksView(View):
    serializer_class = TaskSerializer

    @extend_schema(
        operation_id="tasks", responses={200: TaskSerializer(many=True), **problem(401, 403)}
    )
    def get(self, request: Request) -> Response:
        """The data sets of this arena."""
        found = [arena.tasks.load(name) for name in arena.tasks.at_hand()]
        return Response(self.get_serializer(found, many=True).data)


@extend_schema(tags=["tasks"])
class TaskView(View):
    serializer_class = TaskDetailSerializer

    @extend_schema(
        operation_id="task", responses={200: TaskDetailSerializer, **problem(401, 403, 404)}
    )
    def get(self, request: Request, name: str) -> Response:
        """One data set with its splits."""
        if name not in arena.tasks.at_hand():
            raise NotThere("There is no such task here.")
        return Response(arena.tasks.load(name).public_json())

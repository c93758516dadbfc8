from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import ApiToken, Team
from accounts.selectors import members, teams_of
from api.serializers.teams import MeSerializer
from api.views.base import MembersView, problem
from submissions import selectors as submissions
from submissions.states import WAITING
from tournaments import selectors as tournaments


@extend_schema(tags=["teams"])
class MeView(MembersView):
    serializer_class = MeSerializer

    @extend_schema(operation_id="me", responses={200: MeSerializer, **problem(401)})
    def get(self, request: Request) -> Response:
        """Who you are, your teams, and what they have left today."""
        token = request.auth
        data = {
            "user": self.user.username,
            "scopes": list(token.scopes) if isinstance(token, ApiToken) else None,
            "teams": [self._team(team) for team in teams_of(self.user)],
        }
        return Response(self.get_serializer(data).data)

    def _team(self, team: Team) -> dict[str, object]:
        listed = list(members(team))
        return {
            "id": team.uid,
            "name": team.name,
            "role": next(m.role for m in listed if m.user_id == self.user.pk),
            "members": [m.user.username for m in listed],
            "quota": submissions.quota(team, person=self.user),
            "pending_matches": tournaments.pending_matches(team).count(),
            "pending_submissions": team.submissions.filter(state__in=WAITING).count(),
        }

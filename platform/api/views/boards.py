from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.etags import conditional
from api.query import named, one_of
from api.serializers.boards import BoardsSerializer, MatrixSerializer
from api.views.base import IF_NONE_MATCH, View, problem
from arena.errors import Side
from leaderboard import selectors as boards
from leaderboard.models import Standing
from tournaments import selectors
from tournaments.models import Round, Tournament

ROLE = OpenApiParameter("role", str, enum=[side.value for side in Side])
ROUND = OpenApiParameter("round", str, description="A round's id; all rounds without it.")
UNCHANGED = OpenApiResponse(description="What you hold is still right.")


class BoardsView(View):
    queryset = Standing.objects.none()
    serializer_class = BoardsSerializer

    def answer(self, request: Request, tournament: Tournament, round_: Round | None) -> Response:
        found = boards.standings(tournament, user=self.person, round_=round_, role=_role(request))
        for view in found:
            view.round.tournament = tournament  # known already; spares a query a board
        strongest = boards.Strongest.of(found)
        context = {**self.get_serializer_context(), "strongest": strongest}
        shown = BoardsSerializer({"boards": found}, context=context)
        return conditional(request, shown.data)


def _role(request: Request) -> Side | None:
    given = one_of(request, "role", list(Side))
    return None if given is None else Side(given)


@extend_schema(tags=["boards"])
class StandingsView(BoardsView):
    query = ("round", "role")

    @extend_schema(
        operation_id="standings",
        parameters=[ROUND, ROLE, IF_NONE_MATCH],
        responses={200: BoardsSerializer, 304: UNCHANGED, **problem(400, 401, 403, 404)},
    )
    def get(self, request: Request, slug: str) -> Response:
        """The boards of a tournament, by round and side."""
        tournament = selectors.get(self.person, slug)
        uid = named(request, "round")
        round_ = selectors.get_round(self.person, uid) if uid else None
        return self.answer(request, tournament, round_)


@extend_schema(tags=["boards"])
class RoundStandingsView(BoardsView):
    query = ("role",)

    @extend_schema(
        operation_id="round_standings",
        parameters=[ROLE, IF_NONE_MATCH],
        responses={200: BoardsSerializer, 304: UNCHANGED, **problem(400, 401, 403, 404)},
    )
    def get(self, request: Request, uid: str) -> Response:
        """Both boards of a round."""
        round_ = selectors.get_round(self.person, uid)
        return self.answer(request, round_.tournament, round_)


@extend_schema(tags=["boards"])
class MatrixView(View):
    queryset = Round.objects.none()
    serializer_class = MatrixSerializer

    @extend_schema(
        operation_id="matrix",
        parameters=[IF_NONE_MATCH],
        responses={200: MatrixSerializer, 304: UNCHANGED, **problem(400, 401, 403, 404)},
    )
    def get(self, request: Request, uid: str) -> Response:
        """Attack x defense of a round."""
        found = boards.matrix(selectors.get_round(self.person, uid), user=self.person)
        return conditional(request, self.get_serializer(found).data)

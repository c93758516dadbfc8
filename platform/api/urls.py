"""Routes below ``/api/v1/``."""

from __future__ import annotations

from django.urls import path, re_path

from api.views import boards, docs, events, matches, submissions, tasks, teams, tournaments
from api.views.unknown import UnknownView

app_name = "api"

urlpatterns = [
    path("teams/me/", teams.MeView.as_view(), name="me"),
    path("submissions/", submissions.SubmissionsView.as_view(), name="submissions"),
    path("submissions/<str:uid>/", submissions.SubmissionView.as_view(), name="submission"),
    path(
        "submissions/<str:uid>/log/",
        submissions.SubmissionLogView.as_view(),
        name="submission-log",
    ),
    path(
        "submissions/<str:uid>/cancel/",
        submissions.SubmissionCancelView.as_view(),
        name="submission-cancel",
    ),
    path("tournaments/", tournaments.TournamentsView.as_view(), name="tournaments"),
    path("tournaments/<str:slug>/", tournaments.TournamentView.as_view(), name="tournament"),
    path("tournaments/<str:slug>/rounds/", tournaments.RoundsView.as_view(), name="rounds"),
    path(
        "tournaments/<str:slug>/entries/",
        tournaments.TournamentEntriesView.as_view(),
        name="tournament-entries",
    ),
    path("tournaments/<str:slug>/standings/", boards.StandingsView.as_view(), name="standings"),
    path("rounds/<str:uid>/", tournaments.RoundView.as_view(), name="round"),
    path(
        "rounds/<str:uid>/standings/", boards.RoundStandingsView.as_view(), name="round-standings"
    ),
    path("rounds/<str:uid>/matrix/", boards.MatrixView.as_view(), name="matrix"),
    path("entries/", tournaments.EntriesView.as_view(), name="entries"),
    path("entries/<str:uid>/", tournaments.EntryView.as_view(), name="entry"),
    path("entries/<str:uid>/withdraw/", tournaments.WithdrawView.as_view(), name="withdraw"),
    path("matches/", matches.MatchesView.as_view(), name="matches"),
    path("matches/<str:uid>/", matches.MatchView.as_view(), name="match"),
    path("matches/<str:uid>/outcome/", matches.OutcomeView.as_view(), name="match-outcome"),
    path("matches/<str:uid>/images/", matches.ImagesView.as_view(), name="match-images"),
    path("matches/<str:uid>/log/", matches.MatchLogView.as_view(), name="match-log"),
    path("events/", events.EventsView.as_view(), name="events"),
    path("tasks/", tasks.TasksView.as_view(), name="tasks"),
    path("tasks/<str:name>/", tasks.TaskView.as_view(), name="task"),
    path("openapi.yaml", docs.SchemaView.as_view(), name="schema"),
    path("docs/", docs.DocsView.as_view(), name="docs"),
    re_path(r"^(?P<path>.*)$", UnknownView.as_view(), name="unknown"),
]

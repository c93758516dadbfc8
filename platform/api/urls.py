"""Routes below ``/api/v1/``. Ids and slugs are letters, digits and hyphens: others are 404."""

from __future__ import annotations

from django.urls import path, re_path

from api.views import (
    boards,
    docs,
    events,
    guests,
    matches,
    submissions,
    tasks,
    teams,
    tournaments,
)
from api.views.unknown import UnknownView

app_name = "api"

urlpatterns = [
    path("teams/me/", teams.MeView.as_view(), name="me"),
    path("submissions/", submissions.SubmissionsView.as_view(), name="submissions"),
    path("submissions/<slug:uid>/", submissions.SubmissionView.as_view(), name="submission"),
    path(
        "submissions/<slug:uid>/log/",
        submissions.SubmissionLogView.as_view(),
        name="submission-log",
    ),
    path(
        "submissions/<slug:uid>/cancel/",
        submissions.SubmissionCancelView.as_view(),
        name="submission-cancel",
    ),
    path("tournaments/", tournaments.TournamentsView.as_view(), name="tournaments"),
    path("tournaments/<slug:slug>/", tournaments.TournamentView.as_view(), name="tournament"),
    path(
        "tournaments/<slug:slug>/move/",
        tournaments.TournamentMoveView.as_view(),
        name="tournament-move",
    ),
    path(
        "tournaments/<slug:slug>/pause/",
        tournaments.TournamentPauseView.as_view(),
        name="tournament-pause",
    ),
    path(
        "tournaments/<slug:slug>/clock/",
        tournaments.TournamentClockView.as_view(),
        name="tournament-clock",
    ),
    path(
        "tournaments/<slug:slug>/invite/",
        guests.InviteView.as_view(),
        name="tournament-invite",
    ),
    path(
        "tournaments/<slug:slug>/uninvite/",
        guests.UninviteView.as_view(),
        name="tournament-uninvite",
    ),
    path(
        "tournaments/<slug:slug>/organizers/",
        guests.AddOrganizerView.as_view(),
        name="add-organizer",
    ),
    path(
        "tournaments/<slug:slug>/organizers/remove/",
        guests.RemoveOrganizerView.as_view(),
        name="remove-organizer",
    ),
    path("tournaments/<slug:slug>/rounds/", tournaments.RoundsView.as_view(), name="rounds"),
    path(
        "tournaments/<slug:slug>/entries/",
        tournaments.TournamentEntriesView.as_view(),
        name="tournament-entries",
    ),
    path("tournaments/<slug:slug>/standings/", boards.StandingsView.as_view(), name="standings"),
    path("rounds/<slug:uid>/", tournaments.RoundView.as_view(), name="round"),
    path("rounds/<slug:uid>/clock/", tournaments.RoundClockView.as_view(), name="round-clock"),
    path("rounds/<slug:uid>/move/", tournaments.RoundMoveView.as_view(), name="round-move"),
    path(
        "rounds/<slug:uid>/standings/", boards.RoundStandingsView.as_view(), name="round-standings"
    ),
    path("rounds/<slug:uid>/matrix/", boards.MatrixView.as_view(), name="matrix"),
    path("entries/", tournaments.EntriesView.as_view(), name="entries"),
    path("entries/<slug:uid>/", tournaments.EntryView.as_view(), name="entry"),
    path("entries/<slug:uid>/withdraw/", tournaments.WithdrawView.as_view(), name="withdraw"),
    path("matches/", matches.MatchesView.as_view(), name="matches"),
    path("matches/<slug:uid>/", matches.MatchView.as_view(), name="match"),
    path("matches/<slug:uid>/outcome/", matches.OutcomeView.as_view(), name="match-outcome"),
    path("matches/<slug:uid>/images/", matches.ImagesView.as_view(), name="match-images"),
    path("matches/<slug:uid>/log/", matches.MatchLogView.as_view(), name="match-log"),
    path("events/", events.EventsView.as_view(), name="events"),
    path("tasks/", tasks.TasksView.as_view(), name="tasks"),
    path("tasks/<slug:name>/", tasks.TaskView.as_view(), name="task"),
    path("openapi.yaml", docs.SchemaView.as_view(), name="schema"),
    path("docs/", docs.DocsView.as_view(), name="docs"),
    re_path(r"^(?P<path>(?s:.*))\Z", UnknownView.as_view(), name="unknown"),
]

"""Routes of the pages. tests/platform/web/test_permissions.py knows each of them."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import path

from web import live
from web.pages import (
    accounts,
    calibration,
    exports,
    home,
    matches,
    organizing,
    pictures,
    submissions,
    tasks,
    teams,
    tournaments,
)

urlpatterns = [
    path("", home.home, name="home"),
    path("parts/home/", home.home_live, name="home-live"),
    path("glossary/", home.glossary, name="glossary"),
    path("calibration/", calibration.calibration, name="calibration"),
    path("calibration.json", calibration.calibration_file, name="calibration-file"),
    path("live/", live.stream, name="live"),
    # people
    path("signup/", accounts.signup, name="signup"),
    path("login/", accounts.LogIn.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("profile/", accounts.profile, name="profile"),
    path("profile/password/", accounts.change_password, name="change-password"),
    path("profile/tokens/", accounts.create_token, name="create-token"),
    path("profile/tokens/<slug:uid>/revoke/", accounts.revoke_token, name="revoke-token"),
    path("teams/", accounts.create_team, name="create-team"),
    path("teams/<slug:uid>/", teams.team, name="team"),
    path("teams/<slug:uid>/invite/", teams.invite, name="invite"),
    path(
        "teams/<slug:uid>/invitations/<int:pk>/revoke/",
        teams.revoke_invitation,
        name="revoke-invitation",
    ),
    path("teams/<slug:uid>/leave/", teams.leave, name="leave-team"),
    path("teams/<slug:uid>/captain/", teams.hand_over, name="hand-over"),
    path("teams/<slug:uid>/remove/", teams.remove_member, name="remove-member"),
    path("join/<str:token>/", teams.join, name="join"),
    # tasks
    path("tasks/", tasks.tasks, name="tasks"),
    path("tasks/<slug:name>/", tasks.task, name="task"),
    path("tasks/<slug:name>/<slug:split>.npz", tasks.data, name="task-data"),
    path(
        "tasks/<slug:name>/examples/<int:label>-<int:number>.png",
        tasks.example,
        name="task-example",
    ),
    # submissions
    path("submissions/", submissions.submissions, name="submissions"),
    path("parts/submissions/", submissions.submissions_live, name="submissions-live"),
    path("submissions/new/", submissions.upload, name="upload"),
    path("submissions/<slug:uid>/", submissions.submission, name="submission"),
    path("parts/submissions/<slug:uid>/", submissions.submission_live, name="submission-live"),
    path("submissions/<slug:uid>/cancel/", submissions.cancel, name="cancel-submission"),
    path("submissions/<slug:uid>/package.zip", submissions.package, name="package"),
    path("submissions/<slug:uid>/log.txt", submissions.log, name="submission-log"),
    # tournaments
    path("tournaments/", tournaments.tournaments, name="tournaments"),
    path("tournaments/new/", organizing.create, name="create-tournament"),
    path("tournaments/new/preview/", organizing.preview, name="preview-tournament"),
    path("tournaments/<slug:slug>/", tournaments.tournament, name="tournament"),
    path("parts/tournaments/<slug:slug>/boards/", tournaments.boards_live, name="boards-live"),
    path(
        "parts/tournaments/<slug:slug>/progress/", tournaments.progress_live, name="progress-live"
    ),
    path("tournaments/<slug:slug>/standings.csv", exports.standings, name="standings-csv"),
    path("tournaments/<slug:slug>/rules/", tournaments.rules, name="rules"),
    path("tournaments/<slug:slug>/entries/", tournaments.entries, name="entries"),
    path("tournaments/<slug:slug>/enter/", tournaments.enter, name="enter"),
    path("tournaments/<slug:slug>/matches/", tournaments.matches, name="matches"),
    path("parts/tournaments/<slug:slug>/matches/", tournaments.matches_live, name="matches-live"),
    path("tournaments/<slug:slug>/organize/", organizing.organize, name="organize"),
    path("parts/tournaments/<slug:slug>/organize/", organizing.organize_live, name="organize-live"),
    path(
        "parts/tournaments/<slug:slug>/organize/entries/",
        organizing.organize_entries_live,
        name="organize-entries-live",
    ),
    path("tournaments/<slug:slug>/move/", organizing.move, name="move"),
    path(
        "tournaments/<slug:slug>/rounds/<int:number>/move/",
        organizing.move_round,
        name="move-round",
    ),
    path("tournaments/<slug:slug>/clock/", organizing.clock, name="clock"),
    path(
        "tournaments/<slug:slug>/rounds/<int:number>/clock/",
        organizing.clock_round,
        name="clock-round",
    ),
    path("tournaments/<slug:slug>/invite/", organizing.invite_teams, name="invite-teams"),
    path("tournaments/<slug:slug>/uninvite/", organizing.uninvite_team, name="uninvite-team"),
    path("tournaments/<slug:slug>/organizers/", organizing.add_organizer, name="add-organizer"),
    path(
        "tournaments/<slug:slug>/organizers/remove/",
        organizing.remove_organizer,
        name="remove-organizer",
    ),
    path("tournaments/<slug:slug>/pause/", organizing.pause, name="pause"),
    path("tournaments/<slug:slug>/cancel-rest/", organizing.cancel_rest, name="cancel-rest"),
    path("tournaments/<slug:slug>/requeue/", organizing.requeue_all, name="requeue-all"),
    path("entries/<slug:uid>/withdraw/", tournaments.withdraw, name="withdraw"),
    path("entries/<slug:uid>/disqualify/", organizing.disqualify, name="disqualify"),
    path("entries/<slug:uid>/reinstate/", organizing.reinstate, name="reinstate"),
    # matches
    path("matches/<slug:uid>/", matches.match, name="match"),
    path("parts/matches/<slug:uid>/", matches.match_live, name="match-live"),
    path("matches/<slug:uid>/requeue/", organizing.requeue, name="requeue-match"),
    path("matches/<slug:uid>/cancel/", organizing.cancel, name="cancel-match"),
    path(
        "matches/<slug:uid>/pictures/<slug:kind>-<int:level>-<int:number>.png",
        pictures.picture,
        name="picture",
    ),
    path("matches/<slug:uid>/outcome.parquet", matches.outcome, name="outcome"),
    path("matches/<slug:uid>/images.npz", matches.images, name="images"),
    path("matches/<slug:uid>/<slug:side>.log.txt", matches.log, name="match-log"),
]

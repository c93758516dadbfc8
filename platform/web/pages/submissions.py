"""One's submissions: the list, the upload, and each one's diary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache

from accounts.models import Team
from accounts.selectors import team_ids, teams_of
from arena.manifest import Role
from events.errors import NotThere, QuotaExceeded, Refused
from submissions import artifacts, services
from submissions import selectors as queue
from submissions.models import Submission
from submissions.states import WAITING
from tournaments import selectors, visibility
from tournaments import services as tournaments
from tournaments.models import Tournament
from web import entering
from web.answers import action, attachment, member_form, member_page, person
from web.figures import plain_figures
from web.forms import UploadForm
from web.pages.tournaments import paged


@never_cache
@member_page
def submissions(request: HttpRequest) -> HttpResponse:
    return render(request, "web/submissions.html", {"section": "submissions", **_listed(request)})


@never_cache
@member_page
def submissions_live(request: HttpRequest) -> HttpResponse:
    return render(request, "web/parts/submissions_live.html", _listed(request))


def _listed(request: HttpRequest) -> dict[str, object]:
    own = Submission.objects.filter(team__in=team_ids(request.user)).select_related("team")
    return {"paged": paged(request, own.prefetch_related("entries__tournament"))}


# --- upload -------------------------------------------------------------------------------------


@never_cache
@member_form
def upload(request: HttpRequest) -> HttpResponse:
    """Works without scripts; ``upload.js`` asks for JSON, to show how far the upload is."""
    user = person(request)
    form = UploadForm(
        request.POST or None,
        request.FILES or None,
        teams=teams_of(user),
        tournaments=selectors.open_for(user),
        initial={"tournament": request.GET.get("tournament")},
    )
    if request.method != "POST":
        return _upload_page(request, form)
    if form.is_valid():
        try:
            return _uploaded(request, _taken(request, form))
        except Refused as error:
            form.add_error("archive", str(error))
            status = 429 if isinstance(error, QuotaExceeded) else 422
            return _refused(request, form, status)
    return _refused(request, form, 422)


def _taken(request: HttpRequest, form: UploadForm) -> Submission:
    """A package that the tournament refuses is there all the same: its page says so, and offers
    others."""
    user, data = person(request), form.cleaned_data
    submission, _ = services.submit(
        team=data["team"], user=user, archive=data["archive"], task=data["task"]
    )
    if chosen := data["tournament"]:
        try:
            entering.enter(request, chosen, submission)
        except Refused as error:
            messages.error(request, f"The package is here, but not in {chosen}. {error}")
    return submission


def _uploaded(request: HttpRequest, submission: Submission) -> HttpResponse:
    address = reverse("submission", args=[submission.uid])
    if _wants_json(request):
        return JsonResponse({"location": address}, status=201)
    return redirect(address)


def _refused(request: HttpRequest, form: UploadForm, status: int) -> HttpResponse:
    if _wants_json(request):
        sentences = [str(e) for errors in form.errors.values() for e in errors]
        return JsonResponse({"sentence": " ".join(sentences)}, status=status)
    return _upload_page(request, form, status=status)


def _upload_page(request: HttpRequest, form: UploadForm, status: int = 200) -> HttpResponse:
    teams: list[Team] = list(teams_of(request.user))
    context = {
        "form": form,
        "teams": teams,
        "quotas": queue.quotas(teams, person=person(request)),
        "revealing": _revealing(request),
        "places": selectors.places_of(request.user, selectors.open_for(request.user)),
        "section": "submissions",
    }
    return render(request, "web/upload.html", context, status=status)


def _revealing(request: HttpRequest) -> list[Tournament]:
    """Open tournaments in which an entry is disclosed to other teams' attacks."""
    from web.templatetags.arena import reveals

    found = selectors.open_for(request.user).prefetch_related("rounds")
    return [t for t in found if any(reveals(round_) == "package" for round_ in t.rounds.all())]


def _wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")


# --- one submission -----------------------------------------------------------------------------


@never_cache
@member_page
def submission(request: HttpRequest, uid: str) -> HttpResponse:
    found = selectors.get_submission(request.user, uid)
    context = {"section": "submissions", **_shown(request, found)}
    return render(request, "web/submission.html", context)


@never_cache
@member_page
def submission_live(request: HttpRequest, uid: str) -> HttpResponse:
    found = selectors.get_submission(request.user, uid)
    return render(request, "web/parts/submission_live.html", _shown(request, found))


def _shown(request: HttpRequest, found: Submission) -> dict[str, Any]:
    mine = found.team_id in team_ids(request.user)
    entries = found.entries.filter(tournament__in=selectors.visible_to(request.user))
    enterable = _enterable(request, found) if mine else []
    places = selectors.places_of(request.user, enterable)
    readable = visibility.may_see_log(request.user, found)
    played = selectors.matches(request.user).filter(selectors.of_entries(entries))
    return {
        "submission": found,
        "mine": mine,
        "waiting": found.state in WAITING,
        "position": queue.queue_position(found),
        "finish": queue.estimated_finish(found),
        "progress": queue.progress(found) if found.state in WAITING else {},
        "figures": plain_figures(found.figures),
        "log": queue.log_text(found) if readable else "",
        "manifest": _told(found.manifest),
        "entries": entries.select_related("tournament"),
        "matches": played.order_by("-finished_at", "-id")[:60],
        "enterable": enterable,
        "places": [place for place in places if place.goes_to(found)],
    }


def _enterable(request: HttpRequest, found: Submission) -> list[Tournament]:
    """Open tournaments with a round for it, in which it is not entered yet."""
    entered = found.entries.values("tournament")
    listed = selectors.open_for(request.user).exclude(pk__in=entered).prefetch_related("rounds")
    return [tournament for tournament in listed if tournaments.fits(tournament, found)]


def _told(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the manifest says; of a defense no needs, which are an attack's."""
    defends = Role(manifest["role"]).side == "defense"
    said = {key: value for key, value in manifest.items() if not (defends and key == "needs")}
    if "*" in said.get("tasks", ()):
        said["tasks"] = ["all"]
    return [row for row in plain_figures(said) if row[1] not in ("", "–")]


@action
def cancel(request: HttpRequest, uid: str) -> HttpResponse:
    services.cancel(submission=selectors.get_submission(request.user, uid), user=person(request))
    return redirect("submission", uid=uid)


@never_cache
@member_page
def package(request: HttpRequest, uid: str) -> HttpResponse:
    found = selectors.get_submission(request.user, uid)
    if not visibility.may_see_package(request.user, found):
        raise NotThere("There is no such file for you.")
    try:
        with artifacts.open_archive(found.sha256) as archive:
            content = archive.read()
    except OSError as error:
        raise NotThere("The package is not in the store any more.") from error
    return attachment(content, name=f"{found.sha256[:12]}.zip", kind="application/zip")


@never_cache
@member_page
def log(request: HttpRequest, uid: str) -> HttpResponse:
    found = selectors.get_submission(request.user, uid)
    if not visibility.may_see_log(request.user, found):
        raise NotThere("There is no such log for you.")
    text = queue.log_text(found)
    return attachment(text.encode(), name=f"{found.sha256[:12]}.log.txt", kind="text/plain")

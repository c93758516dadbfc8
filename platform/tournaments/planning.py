"""Which matches are missing, and the rows for them. A new entry plays only its row or column."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from django.db.models.functions import Now
from django.utils import timezone

import arena.house
from arena.applicability import (
    INELIGIBLE,
    ROLES,
    USUAL_ROLES,
    applicability,
    asks_for_eligibility,
)
from arena.errors import Side
from arena.games.blind import is_blind
from arena.manifest import Manifest, Role
from arena.pairing import Entrant, OpenRound, PlannedCell, missing_cells
from arena.rounds import GameName, RoundSpec
from tournaments.models import Entry, Match, Round, Tournament
from tournaments.states import MATCHES, PLAYABLE, EntryState, MatchState

ROLES_OF = {game: frozenset(roles) for game, roles in ROLES.items()}
GUEST_ROLES = frozenset(USUAL_ROLES)


def roles_of(round_: Round) -> frozenset[Role]:
    """What plays in a round: learners and poisoners, say, or defenses and thieves."""
    return ROLES_OF.get(GameName(round_.game), GUEST_ROLES)


def takes_part(entry: Entry, round_: Round) -> bool:
    """House players play in the rounds that name them; guests wherever their role does."""
    if Role(entry.player) not in roles_of(round_):
        return False
    named = round_.house.get("attacks" if entry.role == Side.ATTACK else "defenses", [])
    return not entry.house or entry.house in named


def plan(
    tournament: Tournament,
    *,
    rounds: Iterable[Round] | None = None,
    only: Collection[Entry] | None = None,
) -> int:
    """Adds the matches that are missing, and takes cancelled ones of active entries up again.

    Call it in a transaction that holds the tournament's row. ``rounds``: those that play, by
    default. ``only``: no match without one of these entries. Returns how many wait anew.
    """
    playing = list(rounds if rounds is not None else tournament.rounds.filter(state__in=PLAYABLE))
    entries = list(
        (
            tournament.entries.filter(state=EntryState.ACTIVE)
            | tournament.entries.filter(state=EntryState.SUPERSEDED, kept=True)
        ).select_related("team", "submission")
    )
    wanted = None if only is None else {entry.uid for entry in only}
    return sum(_plan_round(round_, entries, wanted) for round_ in playing)


def _plan_round(round_: Round, entries: list[Entry], only: Collection[str] | None) -> int:
    pool = {entry.uid: entry for entry in entries if takes_part(entry, round_)}
    rules = round_.rules
    cells = missing_cells(
        [_entrant(entry) for entry in pool.values()],
        [OpenRound(round_.uid, rules)],
        existing=_existing(round_),
        obstacle=lambda attack, defense, spec: None,  # such a cell gets a row that says why
        only=only,
    )
    if is_blind(rules.threat_model):  # workers begin with other attacks, each crafted by one
        cells.sort(key=lambda cell: pool[cell.defense].pk)
    new = [_match(round_, rules, pool[cell.attack], pool[cell.defense], only) for cell in cells]
    Match.objects.bulk_create(new, ignore_conflicts=True)
    waiting = sum(match.state == MatchState.PENDING for match in new)
    return waiting + _taken_up(round_, list(pool.values()))


def _entrant(entry: Entry) -> Entrant:
    team = entry.team.uid if entry.team else f"house:{entry.house}"
    active = entry.state == EntryState.ACTIVE
    return Entrant(entry.uid, team, _manifest(entry), active=active, kept=entry.kept)


def _manifest(entry: Entry) -> Manifest:
    return Manifest.from_mapping(entry.manifest)


def _existing(round_: Round) -> list[PlannedCell]:
    pairs = round_.matches.values_list("attack__uid", "defense__uid")
    return [PlannedCell(round_.uid, attack, defense) for attack, defense in pairs]


def _match(
    round_: Round, rules: RoundSpec, attack: Entry, defense: Entry, only: Collection[str] | None
) -> Match:
    reason = obstacle(attack, defense, rules)
    newest = max((attack, defense), key=lambda e: (only is not None and e.uid in only, e.pk))
    return Match(
        tournament_id=round_.tournament_id,
        round=round_,
        attack=attack,
        defense=defense,
        beneficiary=newest.team or attack.team or defense.team,
        seed=seed_of(round_, attack, defense),
        state=MatchState.NOT_APPLICABLE if reason else MatchState.PENDING,
        sentence=reason or "",
        queued_at=timezone.now(),
    )


def cannot_meet(
    attack: Manifest, defense: Manifest, rules: RoundSpec, *, house: str = ""
) -> str | None:
    """The first reason, one sentence. ``house``: the name of the defense if it is the house's."""
    reason = applicability(attack, defense, rules)
    return arena.house.cannot_play(house, rules.task) if reason is None and house else reason


def obstacle(attack: Entry, defense: Entry, rules: RoundSpec) -> str | None:
    """What the manifests say, and what qualification found; the house was built to be eligible."""
    manifest = _manifest(defense)
    reason = cannot_meet(_manifest(attack), manifest, rules, house=defense.house)
    if reason is not None or defense.submission is None:
        return reason
    failed = defense.submission.figures.get("grey_eligible") is False
    return INELIGIBLE if failed and asks_for_eligibility(manifest, rules) else None


def seed_of(round_: Round, attack: Entry, defense: Entry) -> int:
    """From the round's secret and what the players are: the same pair replays the same match."""
    names = (e.house or (e.submission.sha256 if e.submission else "") for e in (attack, defense))
    state = hashlib.sha256(bytes(round_.secret) + "\0".join(names).encode())
    return int.from_bytes(state.digest()[:8], "big") >> 1


def _taken_up(round_: Round, pool: list[Entry]) -> int:
    """Matches cancelled when an entry left, whose players are both back.

    One that an organizer stopped stays so, whoever enters and whatever phase comes.
    """
    back = round_.matches.filter(
        state=MatchState.CANCELLED, stopped=False, attack__in=pool, defense__in=pool
    )
    return MATCHES.move(
        back, MatchState.PENDING, sentence="", faults=0, queued_at=Now(), hinted_at=None
    )

"""From rows of the database to what ``arena.ranking`` reads."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Q

from arena import tasks
from arena.errors import Side
from arena.ranking import CellResult, Player, Records, Tier, nested_in
from arena.verdict import Kills, Status
from leaderboard.gaps import never_planned
from tournaments.models import Entry, Match, Round, Tournament, Verdict
from tournaments.planning import takes_part
from tournaments.states import REVEALED, UNJUDGED, EntryState, MatchState

CACHED_KILLS: Final = 20_000

_KILLS: OrderedDict[tuple[int, int, datetime], Kills | None] = OrderedDict()
"""Verdicts never change, so their bits are read once a process."""


@dataclass(frozen=True)
class PlayedCell:
    """A cell as the matrix stores it."""

    match: int
    verdict: int
    state: str
    at: datetime
    result: CellResult
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ledger:
    """What one tier's boards are made of: its own cells and those of tiers nested in it."""

    round: Round
    tier: Tier
    records: Records
    cells: tuple[PlayedCell, ...]
    """Of this round, and of those nested in it; cells without a verdict among them."""
    entries: Mapping[str, Entry]
    rounds: Mapping[str, str]
    """Opaque ids, by ranking's."""
    as_of: datetime | None

    @property
    def played(self) -> list[PlayedCell]:
        """Of this round alone."""
        return [cell for cell in self.cells if cell.verdict and cell.result.round == self.tier.id]


def key_of(pk: int) -> str:
    """Primary keys as ranking's ids; padded, so that their order is that of the numbers."""
    return f"{pk:012d}"


def pk_of(key: str) -> int:
    return int(key)


def tiers_of(tournament: Tournament) -> dict[int, Tier]:
    """Round -> tier."""
    return {round_.pk: tier_of(round_) for round_ in tournament.rounds.all()}


def tier_of(round_: Round) -> Tier:
    spec = round_.rules
    return Tier(key_of(round_.pk), spec, tasks.load(spec.task).floor)


def open_ledger(round_: Round, tiers: dict[int, Tier]) -> Ledger:
    tier = tiers[round_.pk]
    nested = nested_in(tier, tiers.values())
    rounds = [round_.pk, *map(pk_of, nested)]
    rows = _matches(rounds)
    judged = round_.tournament.entries.exclude(state__in=UNJUDGED)
    entries = list(judged.select_related("submission"))
    here = {row[side] for row in rows if row["round_id"] == round_.pk for side in SIDES_OF_ROW}
    players = players_of(entries, round_, here=here)
    cells = _cells(rows, players)
    gaps = _gaps({pk: t for pk, t in tiers.items() if pk in rounds}, entries, players)
    verdicts = [cell.at for cell in cells if cell.verdict]
    return Ledger(
        round=round_,
        tier=tier,
        records=Records(
            players.values(),
            [t for pk, t in tiers.items() if pk in rounds],
            [*(cell.result for cell in cells), *gaps],
        ),
        cells=tuple(cells),
        entries={key_of(entry.pk): entry for entry in entries},
        rounds={key_of(row["round_id"]): row["round__uid"] for row in rows},
        as_of=max(verdicts, default=None),
    )


SIDES_OF_ROW: Final = ("attack_id", "defense_id")
_COLUMNS: Final = (
    "pk",
    "round_id",
    "round__uid",
    *SIDES_OF_ROW,
    "state",
    "verdict__pk",
    "verdict__attempt",
    "verdict__created_at",
    "verdict__fault_side",
    "verdict__metrics",
    "verdict__curve",
    "verdict__flags",
)
_STATUS: Final = {
    MatchState.SCORED: Status.SCORED,
    MatchState.FORFEIT: Status.FORFEIT,
    MatchState.VOID: Status.VOID,
}


def _matches(rounds: Collection[int]) -> list[dict[str, Any]]:
    found = Match.objects.filter(round__in=rounds).exclude(state=MatchState.NOT_APPLICABLE)
    return list(found.order_by("pk").values(*_COLUMNS))


def _cells(rows: Sequence[dict[str, Any]], players: dict[str, Player]) -> list[PlayedCell]:
    kills = _kills([row for row in rows if row["verdict__pk"]])
    return [
        PlayedCell(
            match=row["pk"],
            verdict=row["verdict__pk"] or 0,
            state=row["state"],
            at=row["verdict__created_at"],
            result=_result(row, kills),
            flags=tuple(row["verdict__flags"] or ()),
        )
        for row in rows
        if _counts(row, players)
    ]


def _counts(row: dict[str, Any], players: dict[str, Player]) -> bool:
    """A cancelled match is still a gap in the row of an entry that has left the pool.

    Between two players of the pool the organizer cancelled it: such a cell is not played.
    """
    attack, defense = (players.get(key_of(row[side])) for side in SIDES_OF_ROW)
    if attack is None or defense is None:
        return False
    return row["state"] != MatchState.CANCELLED or not (attack.in_pool and defense.in_pool)


def _gaps(
    tiers: Mapping[int, Tier], entries: Collection[Entry], players: Mapping[str, Player]
) -> list[CellResult]:
    """What entries that were superseded, and have a row, were never planned against."""
    old = [
        e for e in entries if e.state == EntryState.SUPERSEDED and players[key_of(e.pk)].on_board
    ]
    pool = [e for e in entries if players[key_of(e.pk)].in_pool]
    missing = never_planned({pk: tier.spec for pk, tier in tiers.items()}, old, pool)
    return [CellResult(*map(key_of, cell)) for cell in missing]


def _result(row: dict[str, Any], kills: dict[int, Kills | None]) -> CellResult:
    side = row["verdict__fault_side"]
    return CellResult(
        round=key_of(row["round_id"]),
        attack=key_of(row["attack_id"]),
        defense=key_of(row["defense_id"]),
        status=_STATUS.get(row["state"]),
        blame=Side(side) if side else None,
        kills=kills.get(row["verdict__pk"]),
        metrics=row["verdict__metrics"] or {},
        curve=tuple(row["verdict__curve"] or ()),
        recorded=row["verdict__pk"] or 0,
    )


def _kills(rows: Sequence[dict[str, Any]]) -> dict[int, Kills | None]:
    """Verdict -> bits, from the cache where they are there."""
    names = {
        row["verdict__pk"]: (
            row["verdict__pk"],
            row["verdict__attempt"],
            row["verdict__created_at"],
        )
        for row in rows
    }
    unread = [pk for pk, name in names.items() if name not in _KILLS]
    for start in range(0, len(unread), 500):
        chunk = Verdict.objects.filter(pk__in=unread[start : start + 500])
        for pk, data in chunk.values_list("pk", "kills"):
            _KILLS[names[pk]] = Kills.from_json(data) if data else None
    found = {pk: _KILLS[name] for pk, name in names.items()}
    while len(_KILLS) > CACHED_KILLS:
        _KILLS.popitem(last=False)
    return found


# --- players ------------------------------------------------------------------------------------


def players_of(
    entries: Iterable[Entry], round_: Round, *, here: Collection[int]
) -> dict[str, Player]:
    """Entries as ranking sees them. ``here``: those with a match in the round.

    A house player has a row where the organizer chose it, and none for what it played elsewhere.
    A round that has been published takes no new entry: who superseded whom later changes nothing.
    """
    listed, closed = list(entries), round_.state in REVEALED
    replaces, replaced = _chains(listed)
    allies = _allies(listed)
    players = {}
    for entry in listed:
        current = entry.state == EntryState.ACTIVE
        superseded = entry.state == EntryState.SUPERSEDED
        last_here = closed and superseded and not (replaced.get(entry.pk, set()) & set(here))
        kept = superseded and entry.kept and entry.role == Side.ATTACK
        players[key_of(entry.pk)] = Player(
            id=key_of(entry.pk),
            team=_team(entry),
            side=Side(entry.role),
            uploaded=_uploaded(entry),
            house=entry.is_house,
            in_pool=current or kept or last_here,
            on_board=(current or last_here or (superseded and entry.pk in replaced))
            and (not entry.is_house or takes_part(entry, round_)),
            replaces=replaces.get(entry.pk),
            allies=allies.get(_team(entry), frozenset()),
        )
    return players


def _chains(entries: Sequence[Entry]) -> tuple[dict[int, str], dict[int, set[int]]]:
    """(entry -> whom it superseded, entry -> all that came after it), by team and player."""
    versions: defaultdict[tuple[int | None, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.team_id and entry.state in (EntryState.ACTIVE, EntryState.SUPERSEDED):
            versions[entry.team_id, entry.player].append(entry)
    replaces: dict[int, str] = {}
    replaced: dict[int, set[int]] = {}
    for chain in versions.values():
        chain.sort(key=_turn)
        for i, entry in enumerate(chain):
            if i:
                replaces[entry.pk] = key_of(chain[i - 1].pk)
            if after := {later.pk for later in chain[i + 1 :]}:
                replaced[entry.pk] = after
    return replaces, replaced


def _turn(entry: Entry) -> tuple[bool, float, int]:
    """The active one is last, whenever it came back."""
    since = entry.active_since.timestamp() if entry.active_since else 0.0
    return (entry.state == EntryState.ACTIVE, since, entry.pk)


def _allies(entries: Sequence[Entry]) -> dict[str, frozenset[str]]:
    """Team -> the teams with which it shared a member: rosters freeze at entry."""
    teams_of: defaultdict[int, set[str]] = defaultdict(set)
    for entry in entries:
        for member in entry.roster:
            teams_of[member].add(_team(entry))
    allies: defaultdict[str, set[str]] = defaultdict(set)
    for teams in teams_of.values():
        for team in teams:
            allies[team] |= teams - {team}
    return {team: frozenset(others) for team, others in allies.items()}


def _team(entry: Entry) -> str:
    return f"house:{entry.house}" if entry.is_house else key_of(entry.team_id or 0)


def _uploaded(entry: Entry) -> float:
    """The house was there first."""
    return entry.submission.created_at.timestamp() if entry.submission else 0.0


def superseded_attacks(tournament: Tournament) -> list[Entry]:
    left = Q(state=EntryState.SUPERSEDED, role=Side.ATTACK)
    return list(tournament.entries.filter(left).order_by("pk"))

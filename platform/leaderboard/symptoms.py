"""Evidence of masked gradients, and of refuted claims, for the rows of a defense board
(docs/evidence.md).

A board looks at what its ranking looks at: the matches of its own round and of those nested in
it. So the white-box board knows what black boxes found, and a frozen board stays as it is.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from typing import Any, Final

from arena import evidence, tasks
from arena.errors import PackageError, Side
from arena.manifest import Manifest
from arena.ranking.certification import refutations
from arena.ranking.nesting import PERTURBATION_GAMES
from arena.rounds import GameName
from arena.verdict import Status
from leaderboard.ledger import Ledger, PlayedCell
from tournaments.models import Entry

CACHED: Final = 20_000

_FOUND: OrderedDict[tuple[str, str], tuple[object, list[dict[str, Any]]]] = OrderedDict()
"""(round, entry) -> (what was looked at, what was found): an event touches few defenses."""


def flags_of_defenses(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """Defense -> its symptoms as JSON; entries and rounds in it by their opaque ids."""
    if ledger.tier.spec.game not in PERTURBATION_GAMES:
        return {}
    trials = _scored(ledger)
    defenses = [p.id for p in ledger.records.players_on(Side.DEFENSE) if p.on_board]
    refuted = _refuted(ledger)
    return {
        defense: [*refuted.get(defense, ()), *_flags(ledger, defense, trials.get(defense, ()))]
        for defense in defenses
    }


def _refuted(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """Defense -> that its certificate is broken, and by whom; on boards of certificates alone."""
    if ledger.tier.spec.game is not GameName.CERTIFICATION:
        return {}
    found = {}
    for defense, refutation in refutations(ledger.records, ledger.tier).items():
        attacker = _attacker(ledger.entries[refutation.by.attack])
        if attacker is not None:
            round_ = ledger.rounds[refutation.by.round]
            broken = evidence.certificate_broken(attacker, round_, refutation.examples)
            found[defense] = [broken.to_json()]
    return found


def _scored(ledger: Ledger) -> dict[str, list[PlayedCell]]:
    """A forfeited match proves nothing: the attack that found nothing may not have played."""
    found: defaultdict[str, list[PlayedCell]] = defaultdict(list)
    players = ledger.records.players
    for cell in ledger.cells:
        result = cell.result
        scored = result.status is Status.SCORED and result.kills is not None
        if scored and players[result.attack].in_pool:
            found[result.defense].append(cell)
    return found


def _flags(ledger: Ledger, defense: str, cells: Sequence[PlayedCell]) -> list[dict[str, Any]]:
    entry = ledger.entries[defense]
    name = (ledger.round.uid, entry.uid)
    specs = [ledger.records.tiers[r].spec for r in sorted({cell.result.round for cell in cells})]
    looked_at = (specs, [(cell.verdict, cell.at) for cell in cells])
    held = _FOUND.get(name)
    if held is not None and held[0] == looked_at:
        return held[1]
    found = _look(ledger, entry, cells)
    _FOUND[name] = (looked_at, found)
    while len(_FOUND) > CACHED:
        _FOUND.popitem(last=False)
    return found


def _look(ledger: Ledger, entry: Entry, cells: Sequence[PlayedCell]) -> list[dict[str, Any]]:
    manifest = _manifest(entry)
    if manifest is None:
        return []
    trials = [trial for trial in (_trial(ledger, cell) for cell in cells) if trial is not None]
    classes = len(tasks.load(ledger.tier.spec.task).classes)
    found = evidence.symptoms(manifest, trials, classes=classes, probed=_probed(entry))
    return [symptom.to_json() for symptom in found]


def _probed(entry: Entry) -> evidence.Probed | None:
    """What its qualification measured; house players were never qualified."""
    submission = entry.submission
    return evidence.Probed.of(submission.task, submission.figures) if submission else None


def _trial(ledger: Ledger, cell: PlayedCell) -> evidence.Trial | None:
    result = cell.result
    attacker = _attacker(ledger.entries[result.attack])
    if attacker is None or result.kills is None:
        return None
    return evidence.Trial(
        round=ledger.rounds[result.round],
        spec=ledger.records.tiers[result.round].spec,
        attacker=attacker,
        kills=result.kills,
        metrics=result.metrics,
        flags=cell.flags,
    )


def _attacker(entry: Entry) -> evidence.Attacker | None:
    manifest = _manifest(entry)
    return (
        None if manifest is None else evidence.Attacker(entry.uid, manifest, house=entry.is_house)
    )


def _manifest(entry: Entry) -> Manifest | None:
    """None where this version cannot read it: nobody is accused on such a ground."""
    try:
        return Manifest.from_mapping(entry.manifest)
    except PackageError:
        return None

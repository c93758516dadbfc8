"""Filters and tags of the pages."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil

from arena.errors import ArenaError
from arena.qualification.words import NORMS as BALLS
from arena.round_switches import rows_of, sentence_of
from arena.rounds import GameName, Goal, Norm, PoisonMode, RoundSpec
from arena.threat_model import FirstMover
from events.selectors import latest
from tournaments.models import Entry, Round
from tournaments.viewer import Viewer
from web import figures
from web.findings import flag_sentence
from web.games import Words, words_of
from web.glossary import BY_NAME, BY_SLUG

register = template.Library()


def _real(value: object) -> float | None:
    """None for what a template did not find."""
    return value if isinstance(value, int | float) else None


NORMS = {
    **BALLS,
    "patch": "patch",
    "spatial": "turn and shift",
    "corruption": "common corruption",
}


@register.filter
def percent(value: object) -> str:
    return figures.percent(_real(value))


@register.filter
def percent0(value: object) -> str:
    return figures.percent(_real(value), 0)


@register.filter
def points(value: float | None) -> str:
    """A share without its sign, for narrow cells."""
    return "–" if value is None else f"{100 * value:z.0f}".replace("-", "−")


@register.filter
def number(value: object) -> str:
    return figures.number(_real(value))


@register.filter
def written(value: object, form: str) -> str:
    """As a board's form has it: a share or a number."""
    return figures.written(_real(value), form)


@register.filter
def heat(value: float | None) -> str:
    return figures.heat(value)


@register.filter
def short(digest: object) -> str:
    """The beginning of a hash."""
    return str(digest)[:12]


@register.filter
def mib(size: int) -> str:
    if size < 1024 * 1024:
        return f"{size / 1024:.1f} KiB"
    return f"{size / 1024 / 1024:.1f} MiB"


@register.filter
def norm(value: str) -> str:
    return NORMS.get(value, value)


@register.filter
def words(value: str) -> str:
    """A name of the code in words: ``minimum_norm`` is minimum-norm."""
    return str(value).replace("_", "-")


@register.filter
def named_for(entry: Entry, viewer: Viewer) -> str:
    """An entry's name as this reader knows it; who that is, is asked of withdrawn ones alone."""
    return viewer.name_of(entry) if entry.is_withdrawn else entry.name


@register.filter
def team_for(entry: Entry, viewer: Viewer) -> str:
    return viewer.team_name_of(entry) if entry.is_withdrawn else entry.team_name


@register.filter
def item(mapping: Any, key: object) -> Any:
    return mapping.get(key) if mapping else None


@register.simple_tag
def term(slug: str, text: str = "") -> SafeString:
    """A word of the glossary, with its sentence as a tooltip."""
    found = BY_SLUG[slug]
    return format_html(
        '<a class="term" href="/glossary/#{}" title="{}">{}</a>',
        slug,
        found.short,
        text or found.name,
    )


@register.simple_tag
def named_term(name: str) -> SafeString:
    """The same for a word by its name; plain text where the glossary has none."""
    found = BY_NAME.get(name)
    return term(found.slug, name) if found else format_html("{}", name)


@register.simple_tag
def moment(value: datetime | None, empty: str = "–") -> SafeString:
    """A time in UTC, with how long ago or ahead it is."""
    if value is None:
        return format_html("{}", empty)
    ahead = value > timezone.now()
    distance = timeuntil(value) if ahead else timesince(value)
    first = distance.split(",")[0].replace("\xa0", " ")
    at_once = first.startswith("0 ")
    if ahead:
        told = "in less than a minute" if at_once else f"in {first}"
    else:
        told = "just now" if at_once else f"{first} ago"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        value.isoformat(timespec="seconds"),
        f"{value:%Y-%m-%d %H:%M:%S} UTC",
        told,
    )


@register.simple_tag
def clock(value: datetime | None, empty: str = "–") -> SafeString:
    """A time in UTC, written out."""
    if value is None:
        return format_html("{}", empty)
    return format_html(
        '<time datetime="{}">{} UTC</time>',
        value.isoformat(timespec="seconds"),
        f"{value:%d %b %Y, %H:%M}",
    )


@register.filter
def spec(round_: Round) -> RoundSpec | None:
    """The engine's view of a round; None where a newer arena has stored it."""
    try:
        return round_.rules
    except ArenaError:
        return None


@register.filter
def shown(rules: RoundSpec | None) -> str:
    """What the attack of a round is shown and may ask, in one sentence."""
    return sentence_of(rules) if rules else ""


@register.filter
def switches(rules: RoundSpec | None) -> list[tuple[str, str]]:
    """(name, sentence) of the threat model, switch by switch."""
    return rows_of(rules) if rules else []


register.filter(flag_sentence)


@register.filter
def told_as(round_: Round) -> Words:
    """What the pages call the two sides of a round, and their figures."""
    return words_of(round_.game)


@register.filter
def game_of(round_: Round) -> str:
    """``poisoning``, ``evasion, untargeted`` or ``evasion, targeted (least-likely)``."""
    game, rules = words(round_.game), spec(round_)
    if rules is None or not told_as(round_).aimed:
        return game
    rule = f" ({words(rules.target_rule.value)})" if rules.goal is Goal.TARGETED else ""
    return f"{game}, {rules.goal.value}{rule}"


@register.filter
def budget(round_: Round) -> str:
    """``L∞, ε ≤ 0.3``, ``poison 10 %`` or ``650 probes``."""
    rules = spec(round_)
    if rules is None:
        return ""
    if rules.shares:
        return _poison(rules)
    if rules.game is GameName.EXTRACTION:
        return f"{rules.threat_model.probes.limit(1):,.0f} probes"
    if rules.game is GameName.GOOD_WORDS:
        return f"up to {', '.join(f'{e:g}' for e in rules.epsilons)} words added"
    label = NORMS[rules.norm.value]
    if not rules.epsilons:
        return f"{label}, smallest distance"
    more = {
        GameName.ATTACKER_FIRST: f", {rules.published:,} published",
        GameName.REPLAY: f", {rules.replays:,} replays",
    }
    return f"{_sizes(rules)}{more.get(rules.game, '')}"


def _poison(rules: RoundSpec) -> str:
    """Of games about training data."""
    shares = ", ".join(f"{100 * share:g}" for share in rules.shares)
    within = f"{NORMS[rules.norm.value]} ≤ {rules.epsilons[-1]:g}" if rules.epsilons else ""
    if rules.game is GameName.BACKDOOR:
        trigger = f"shift {within}" if within else f"patch of {100 * rules.trigger_area:g} %"
        return f"poison {shares} %, {trigger}"
    if rules.game is GameName.TARGETED_POISONING:
        near = f", clean-label {within}" if within else ""
        return f"poison {shares} %, {rules.targets} chosen points{near}"
    if rules.game is GameName.ONLINE_POISONING:
        return f"poison {100 * rules.shares[-1]:g} % of {rules.batches} batches"
    how = "added" if rules.poison_mode is PoisonMode.ADD else "in place of other points"
    blind = rules.threat_model.first_mover is FirstMover.ATTACKER
    return f"poison {shares} %, {how}{', the attacker moves first' if blind else ''}"


def _sizes(rules: RoundSpec) -> str:
    """The levels of a round that perturbs examples, as its norm counts them."""
    levels = ", ".join(f"{e:g}" for e in rules.epsilons)
    if rules.norm is Norm.PATCH:
        return f"patch of {', '.join(f'{100 * e:g}' for e in rules.epsilons)} %"
    if rules.norm is Norm.SPATIAL:
        shifts = ", ".join(f"{rules.shift_at(e):g}" for e in rules.epsilons)
        return f"turns to {levels}°, shifts to {shifts} px"
    if rules.norm is Norm.CORRUPTION:
        return f"common corruptions, severity {levels}"
    return f"{NORMS[rules.norm.value]}, ε = {levels}"


@register.filter
def box(round_: Round) -> str:
    """white, grey, black, transfer or custom: a slug of the glossary too."""
    rules = spec(round_)
    return rules.preset if rules else "custom"


@register.filter
def reveals(round_: Round) -> str:
    """What of a defense's package lies in the attack's jail: package, architecture or nothing."""
    rules = spec(round_)
    if rules is None or rules.game is GameName.ATTACKER_FIRST:
        return ""  # what it shows is the house's reference
    if rules.discloses_defense:
        return "package"
    return "architecture" if rules.threat_model.reveals_package else ""


STATE_TONES = {
    "scored": "good", "qualified": "good", "active": "good", "open": "good",
    "running": "busy", "playing": "busy", "qualifying": "busy",
    "forfeit": "bad", "rejected": "bad", "refused": "bad", "disqualified": "bad", "void": "bad",
}  # fmt: skip


@register.inclusion_tag("web/parts/state.html")
def state(thing: Any) -> dict[str, str]:
    """A state as a pill: its word always, its colour besides."""
    return {"text": thing.get_state_display(), "tone": STATE_TONES.get(thing.state, "idle")}


@register.simple_tag
def live_url(**scope: str) -> str:
    """The page's stream, from the events that this very page has shown already."""
    return f"/live/?{urlencode({**scope, 'after': str(latest())})}"


@register.filter
def at(sequence: Any, index: int) -> Any:
    """The element at an index; None beyond the end."""
    return sequence[index] if index < len(sequence) else None

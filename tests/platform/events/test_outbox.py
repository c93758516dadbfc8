"""The outbox: written with the change, in the order of commits, read by those who may."""

from __future__ import annotations

import threading

import pytest
from django.db import IntegrityError, connection, transaction

from events import selectors, services
from events.models import Audience, Event
from events.selectors import ANYBODY, Reader


def record(kind: str, audience: Audience = Audience.PUBLIC, **refs: int) -> Event:
    with transaction.atomic():
        return services.record(kind, audience=audience, **refs)


@pytest.mark.django_db
def test_an_event_shares_the_fate_of_its_change() -> None:
    with transaction.atomic():
        services.record("change", audience=Audience.PUBLIC)
        transaction.set_rollback(True)
    assert not Event.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_event_outside_a_transaction_is_refused() -> None:
    with pytest.raises(RuntimeError, match="in the transaction"):
        services.record("change", audience=Audience.PUBLIC)


@pytest.mark.django_db
def test_a_cursor_reads_on_where_it_was() -> None:
    events = [record(f"kind {number}") for number in range(5)]
    seen = list(selectors.visible_to(ANYBODY, after=events[2].pk))
    assert seen == events[3:]
    assert selectors.latest() == events[-1].pk
    assert selectors.since(events[0].pk, kinds=["kind 3", "kind 1"]) == [events[1], events[3]]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("reader", "reads"),
    [
        (ANYBODY, {"public"}),
        (Reader(tournaments=frozenset((7,))), {"public", "tournament"}),
        (Reader(tournaments=frozenset((8,))), {"public"}),
        (Reader(teams=frozenset((3,))), {"public", "team"}),
        (Reader(teams=frozenset((4,))), {"public"}),
        (Reader(organizes=frozenset((7,))), {"public", "tournament", "team", "organizers"}),
        (Reader(everything=True), {"public", "tournament", "team", "organizers"}),
    ],
)
def test_each_reader_sees_what_is_meant_for_him(reader: Reader, reads: set[str]) -> None:
    for audience in Audience:
        record(audience.value, audience, tournament=7, team=3)
    assert {event.kind for event in selectors.visible_to(reader)} == reads


@pytest.mark.django_db
def test_an_organizers_power_ends_with_his_tournament() -> None:
    record("qualified", Audience.TEAM, team=3)
    assert not selectors.visible_to(Reader(organizes=frozenset((7,)))).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("audience", [Audience.TEAM, Audience.TOURNAMENT, Audience.ORGANIZERS])
def test_an_event_without_its_audience_is_refused_by_the_database(audience: Audience) -> None:
    with pytest.raises(IntegrityError):
        record("lost", audience)


@pytest.mark.django_db(transaction=True)
def test_ids_rise_in_the_order_of_commits() -> None:
    """A reader's cursor must never pass an event that commits later."""
    first_wrote, first_may_commit = threading.Event(), threading.Event()
    second_done = threading.Event()

    def slow() -> None:
        with transaction.atomic():
            services.record("slow", audience=Audience.PUBLIC)
            first_wrote.set()
            first_may_commit.wait(10)
        connection.close()

    def quick() -> None:
        first_wrote.wait(10)
        record("quick")
        second_done.set()
        connection.close()

    threads = [threading.Thread(target=target) for target in (slow, quick)]
    for thread in threads:
        thread.start()
    first_wrote.wait(10)
    seen_before = list(selectors.visible_to(ANYBODY).values_list("kind", flat=True))
    assert seen_before == []
    assert not second_done.wait(0.3)  # it waits for the first: nothing can be passed over
    first_may_commit.set()
    for thread in threads:
        thread.join()
    assert list(selectors.visible_to(ANYBODY).values_list("kind", flat=True)) == ["slow", "quick"]

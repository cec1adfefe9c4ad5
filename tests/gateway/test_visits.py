"""Open visits: each is logged once, also when nobody says how it ended."""

from difficulty.gateway.requests import Gateway, Visits
from tests.runtime.conftest import hand_made


class Log:
    """Keeps what it is given."""

    def __init__(self):
        self.events = []

    def write(self, event):
        """Keep an event."""
        self.events.append(event)
        return True


def opened(gateway, visits, name):
    visit = gateway.open({"messages": [{"role": "user", "content": "w7"}]}, id=name)
    return visit, visits.add(visit)


def test_visit_is_found_by_its_number_and_logged_once():
    gateway = Gateway(hand_made(), log=(log := Log()))
    visits = Visits(gateway)
    visit, number = opened(gateway, visits, "r1")
    assert visits.get(number) is visit
    assert visits.close(visit).outcome == "answered"
    assert visits.close(visit, "failed") is None
    assert (visits.get(number), len(visits), len(log.events)) == (None, 0, 1)


def test_visits_with_one_id_are_kept_apart():
    """Clients may choose ids, and choose one twice."""
    gateway = Gateway(hand_made())
    visits = Visits(gateway)
    (one, first), (two, second) = (opened(gateway, visits, "same") for _ in range(2))
    assert visits.get(first) is one
    assert visits.get(second) is two


def test_visits_that_nobody_closes_are_logged_as_abandoned_when_the_next_comes():
    gateway = Gateway(hand_made(), log=(log := Log()))
    visits = Visits(gateway, patience_s=0.0)
    opened(gateway, visits, "r1")
    _, number = opened(gateway, visits, "r2")
    assert [(event.id, event.outcome) for event in log.events] == [("r1", "abandoned")]
    assert visits.get(number) is not None


def test_no_visit_has_a_number_that_is_none():
    assert Visits(Gateway(hand_made())).get(None) is None

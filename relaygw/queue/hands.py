"""The records the running queue holds, as an operator meets them: in which state, what they wait for, and orders.

An order for an active record is settled like an outcome, in its turn. It reads the queue's books and changes them only
through the functions it was given.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence, Set

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from relaygw.core.address import Address, AddressError, normalize_domain
from relaygw.core.envelope import Envelope, Recipient
from relaygw.core.lane import Standing
from relaygw.core.lanes import Lanes
from relaygw.core.lifecycle import begin
from relaygw.core.orders import Order, Verb
from relaygw.core.owner import owner_of
from relaygw.core.patterns import Patterns
from relaygw.core.record import RecipientState, Record
from relaygw.core.shaping import Destination
from relaygw.queue.books import Books
from relaygw.queue.work import Active, Delivery, Effect, Opening, Request


class QueueHands:
    """`places` tells where a record's recipients go, `sources` who goes to a place; `settle` makes an active record
    settle what is new in it; `withdraw` takes an attempt out of line, to be planned anew; `changed` is told of new due
    times in the spool; `is_crowd` whether due records of an owner were left there."""

    def __init__(
        self,
        *,
        clock: IReactorTime,
        books: Books,
        lanes: Lanes[Delivery],
        places: Callable[[Record], Sequence[Destination]],
        sources: Callable[[Set[str]], Patterns | None],
        withdraw: Callable[[Delivery], None],
        settle: Callable[[Active], None],
        changed: Callable[[float], None],
        is_crowd: Callable[[str], bool],
    ) -> None:
        self._clock = clock
        self._actives: Mapping[str, Active] = books.actives
        self._opening: Mapping[str, Opening] = books.opening
        self._parking = books.parking
        self._lanes = lanes
        self._places = places
        self._sources = sources
        self._withdraw = withdraw
        self._settle = settle
        self._changed = changed
        self._is_crowd = is_crowd

    def state(self, queue_id: str) -> str:
        active = self._actives.get(queue_id)
        if active is not None:
            in_line = active.deliveries and all(delivery.started is None for delivery in active.deliveries)
            return "in line" if in_line else "active"
        if queue_id in self._opening:
            return "in line"
        return "parked" if self._parking.destination(queue_id) else ""

    def waits_for(self, queue_id: str) -> str:
        active = self._actives.get(queue_id)
        if active is not None:
            return " ".join(self._sentences(active))
        if queue_id in self._opening:
            return "It is being read from the spool for its next attempt."
        destination, owner = self._parking.destination(queue_id), self._parking.owner(queue_id)
        return f"It waits behind others: {self._lane(destination, owner)}." if destination else ""

    def _sentences(self, active: Active) -> list[str]:
        sentences = [self._sentence(delivery) for delivery in active.deliveries]
        if active.trouble:
            sentences.append(f"The result cannot be written to the spool yet, and is tried again: {active.trouble}")
        return sentences or ["Its last result is being written to the spool."]

    def _sentence(self, delivery: Delivery) -> str:
        transport, destination = delivery.group.destination
        many = len(delivery.group.positions)
        people = "1 recipient" if many == 1 else f"{many} recipients"
        if delivery.over:
            return f"The attempt for {people} by {transport} to {destination} ended and is being recorded."
        if delivery.started is None:
            return f"{people} in line: {self._lane(delivery.group.destination, delivery.owner)}."
        seconds = self._clock.seconds() - delivery.started
        return f"{people} being attempted by {transport} to {destination} for {seconds:.0f} seconds."

    def _lane(self, destination: Destination, owner: str) -> str:
        at_work, in_line = self._lanes.at_work(destination), self._lanes.in_line(destination)
        words = f"{at_work} attempts run by {destination[0]} to {destination[1]}, {in_line} wait for it"
        standing = self._lanes.standing(destination, self._clock.seconds())
        reasons = (standing.why if standing is not None else "", self._lanes.full(owner))
        why = " ".join(filter(None, reasons)).rstrip(".")
        return f"{words}. {why}" if why else words

    def throttles(self, record: Record) -> str:
        """What holds back a record that nobody works on: its destinations, and how much its owner has sent."""
        now = self._clock.seconds()
        standings = ((place, self._lanes.standing(place, now)) for place in self._places(record))
        found = [f"{place[1]}: {each.why}" for place, each in standings if each is not None and each.why]
        owner = owner_of(record)
        if record.due <= now and self._is_crowd(owner):
            found.append(f"More of {owner} is due than is taken up at once: its messages come in turns with others'.")
        return " ".join(found)

    def places(self, domain: str) -> Sequence[Destination]:
        """As for a message that somebody would send there."""
        try:
            recipient = Recipient(address=Address("postmaster", normalize_domain(domain)))
        except AddressError:
            return ()
        return self._places(begin(queue_id="", envelope=Envelope(sender=None, recipients=(recipient,)), now=0.0))

    def sources(self, names: Set[str]) -> Patterns | None:
        """The recipients whose mail goes to destinations of these names, as in Selection."""
        return self._sources(names)

    def names(self, record: Record, state: RecipientState) -> Collection[str]:
        """The names of a recipient's destination: its own, and those of its hosts."""
        found = self._places(attrs.evolve(record, recipients=(state,)))
        names = [name for _, place in found for name in (place, *place.split(","))]
        if state.last is not None and state.last.host and state.detour is None and state.address.domain in names:
            names.append(state.last.host)  # where a domain's mail goes is not known after a start: it was tried there
        return names

    def destinations(self) -> Sequence[Standing]:
        """All destinations of which something is known, and what waits for them here."""
        now, full = self._clock.seconds(), self._lanes.full(None)
        found = []
        for each in self._lanes.standings(now):
            waiting = each.waiting + self._parking.waiting(each.destination)
            found.append(attrs.evolve(each, waiting=waiting, why=each.why or (full if waiting else "")))
        return found

    def order(self, queue_id: str, order: Order) -> Awaitable[Effect] | None:
        active, opening = self._actives.get(queue_id), self._opening.get(queue_id)
        if active is None and opening is None:
            return None
        request = Request(order, Deferred())
        if order.verb is Verb.REROUTE:
            _ = request.answer.addCallback(self._rerouted, queue_id)
        if active is not None:
            if order.verb is Verb.RETRY:
                self.probe(active.record)
            active.requests.append(request)
            self._settle(active)
        elif opening is not None:
            opening.requests.append(request)
        return request.answer

    def _rerouted(self, effect: Effect, queue_id: str) -> Effect:
        """What stands in line for where it is not to go any more leaves the line."""
        active = self._actives.get(queue_id)
        if active is not None and effect.record is not None:
            states = effect.record.recipients
            for delivery in [each for each in active.deliveries if each.started is None and not each.over]:
                if any(states[at].detour != delivery.group.detour for at in delivery.group.positions):
                    self._withdraw(delivery)
        return effect

    def probe(self, record: Record) -> None:
        """Who orders a retry expects an attempt now, also where a destination rests."""
        for place in self._places(record):
            self._lanes.probe(place, self._clock.seconds())

    def take(self, queue_id: str) -> bool:
        return self._parking.remove(queue_id)

    def changed(self, due: float) -> None:
        self._changed(due)

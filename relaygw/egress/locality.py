"""What the search for a next hop must know of this machine, and what becomes of an attempt without one."""

import os
import random

from relaygw.config.schema import EgressConfig
from relaygw.core import outcome
from relaygw.core.mx import Locality, Refusal
from relaygw.core.outcome import Outcome
from relaygw.egress.own import OwnAddresses
from relaygw.interfaces import Attempt, Services


def folder_of(services: Services) -> str:
    """Where the configuration is: what relative paths in it begin with."""
    return os.path.dirname(str(services.settings.path))


def locality(services: Services, egress: EgressConfig, port: int, chance: random.Random) -> Locality:
    """`port` is the one next hops are connected to: only there can mail loop back to us."""
    own = OwnAddresses(services.settings, port)
    return Locality(
        hostname=services.hostname,
        is_ours=own.__contains__,
        shuffle=chance.shuffle,
        ipv4=egress.ipv4,
        ipv6=egress.ipv6,
    )


def refused(attempt: Attempt, refusal: Refusal) -> tuple[Outcome, ...]:
    """There is no host to try: one outcome for all."""
    decide = outcome.failed if refusal.permanent else outcome.deferred
    return tuple(decide(state.address, refusal.enhanced, refusal.reason) for state in attempt.recipients)

"""The keyring of a configuration: tokens from the world, and the reactor's threads."""

from relaygw.egress.login import Keyring
from relaygw.egress.message import in_thread
from relaygw.egress.resting_logins import RestingLogins
from relaygw.egress.tokens import Tokens, ask_by
from relaygw.interfaces import Services


def make_keyring(services: Services) -> Keyring:
    """What logins need of the services."""
    ask = ask_by(services.reactor, services.resolver)
    tokens = Tokens(services.reactor, services.state, ask, services.spawn)
    return Keyring(tokens=tokens, run=in_thread(services.reactor), resting=RestingLogins(services.reactor))

"""What must hold of the control socket and the web page."""

from collections.abc import Iterator

from relaygw.config.problem import Fault
from relaygw.config.rules.listeners import endpoint_fault
from relaygw.config.schema import Config


def control(config: Config) -> Iterator[Fault]:
    console = config.control.console
    if console and not config.control.token_file:
        yield ("control", "token_file"), "this option must be given: the console asks for a token", ""
    if console and (fault := endpoint_fault(console)):
        yield ("control", "console"), f'"{console}" is not a server endpoint: {fault}', ""

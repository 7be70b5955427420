"""Where what `relaygw auth` finds is not what the service does: filters that are not used, have no effect, or leave the
client alone, and those whose actions the document has no place for.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from relaygw.cli.evaluation import Evaluation, first_use, options_of
from relaygw.config.schema import Config
from relaygw.core import arc, dkim
from relaygw.core.client import IPAddress, is_in
from relaygw.core.iprev import IprevResult
from relaygw.core.verdict import Action
from relaygw.filters.arc import ArcOptions
from relaygw.filters.dkim import DkimOptions
from relaygw.filters.dmarc import DmarcOptions
from relaygw.filters.iprev import IprevOptions
from relaygw.filters.spf import SpfOptions

Options = SpfOptions | DkimOptions | DmarcOptions | ArcOptions | IprevOptions

_FINDING_ONLY: Mapping[str, type[DkimOptions | ArcOptions | IprevOptions]] = {
    "dkim": DkimOptions,
    "arc": ArcOptions,
    "iprev": IprevOptions,
}
"""Parts of the document that do not say what is done."""
_SHAPES: Mapping[str, type[Options]] = {"spf": SpfOptions, "dmarc": DmarcOptions, **_FINDING_ONLY}

_BY_DEFAULT = "its action is only what it would do by default"


def without_effect(config: Config, client: IPAddress | None) -> Iterator[str]:
    """Why what filters would do is not what the service does with mail of this client."""
    trusted = client is not None and is_in(client, config.trusted_networks)
    if trusted:
        yield f"{client} is in trusted_networks: the service asks none of these filters (spf where trusted = true)"
    for name, shape in _SHAPES.items():
        use = first_use(config, name)
        if use is None:
            what = "the service asks nothing of the kind" if name in _FINDING_ONLY else _BY_DEFAULT
            yield f"the configuration does not use the filter {name}: {what}"
        elif use.mode == "shadow":
            yield f"the filter {name} is in shadow mode: its action is only what it would do"
        elif client is not None and not trusted and is_in(client, options_of(shape, use).skip):
            yield f"the filter {name} leaves {client} alone: it is in its option skip"


def further_actions(config: Config, found: Evaluation) -> Iterator[str]:
    """What filters do whose parts of the document say only what they found."""
    results: dict[str, dkim.Result | arc.Result | IprevResult] = {
        "dkim": found.signatures.result,
        "arc": found.chain.result,
    }
    if found.iprev is not None:
        results["iprev"] = found.iprev.result
    for name, result in results.items():
        action = _actions(config, name).get(result, Action.PASS)
        if action is Action.REJECT and result is arc.Result.FAIL and found.chain.temporary:
            action = Action.DEFER  # as the filter has it
        if action is not Action.PASS:
            yield f"the filter {name} answers {result.value} with {action.value}, as its option actions says"


def _actions(config: Config, name: str) -> Mapping[Any, Action]:
    use = first_use(config, name)
    return options_of(_FINDING_ONLY[name], use).actions if use is not None else {}

"""Each rule of where mail for a domain goes (RFC 5321 5.1, RFC 7505): the golden cases in `tests/data/mx/RULE.yaml`.

A case has a zone, what is to be tried in order (host and address), or why nothing is ("permanent" or "temporary" and a
code), and a comment that says the rule. We are `relay.example` and have 192.0.2.99. Where the order is left to chance,
`expect_any_of` has every order, by the first label of the host, or the address where all is one host. A new file is a
new case.
"""

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from twisted.internet.defer import Deferred

from relaygw.core.mx import Locality, Refusal, targets_for_domain
from relaygw.dns import FixedResolver, consult

FOLDER = Path(__file__).parents[1] / "data" / "mx"
CASES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def found(case: dict[str, Any], chance: random.Random) -> list[str]:
    """A line for each target, or the one about there being none."""
    here = Locality(
        hostname="Relay.example",
        is_ours=lambda address: address == "192.0.2.99",
        shuffle=chance.shuffle,
        ipv4=case.get("ipv4", True),
        ipv6=case.get("ipv6", True),
    )
    resolver = FixedResolver.from_mapping(case["zone"])
    results: list[Any] = []
    inquiry = targets_for_domain(case.get("domain", "example.org"), here)
    Deferred.fromCoroutine(consult(inquiry, resolver)).addBoth(results.append)
    (answer,) = results
    if isinstance(answer, Refusal):
        return [f"{'permanent' if answer.permanent else 'temporary'} {answer.enhanced}"]
    return [f"{target.host} {target.address}" for target in answer.targets]


@pytest.mark.parametrize("rule", CASES)
def test_each_rule_holds(rule: str) -> None:
    case = yaml.safe_load((FOLDER / f"{rule}.yaml").read_text(encoding="utf-8"))
    if "expect" in case:
        assert found(case, random.Random(rule)) == case["expect"].strip().split("\n")
        return
    orders = set()
    for seed in range(60):
        lines = [line.split() for line in found(case, random.Random(seed))]
        one_host = len({host for host, _ in lines}) == 1
        orders.add(" ".join(address if one_host else host.partition(".")[0] for host, address in lines))
    assert orders == set(case["expect_any_of"])


def test_the_cases_say_what_they_show() -> None:
    assert len(CASES) > 40
    assert all((FOLDER / f"{rule}.yaml").read_text(encoding="utf-8").startswith("# ") for rule in CASES)

"""Every case of the openspf.org suite for RFC 7208 gives the result, and the explanation, that the suite allows."""

import ipaddress
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from relaygw.core.question import Data, Exchange, settle
from relaygw.core.spf import Identity, check_host
from relaygw.dns.fixed import FixedResolver

pytestmark = pytest.mark.vectors

FILE = Path("spf") / "rfc7208-tests.yml"


def cases() -> Iterator[Any]:
    """One parameter per case, named after it; a single empty one where there is no folder of vectors."""
    folder = os.environ.get("RELAYGW_VECTORS")
    if not folder or not (Path(folder) / FILE).exists():
        yield pytest.param(None, None, id="no-vectors")
        return
    for document in yaml.safe_load_all((Path(folder) / FILE).read_text(encoding="utf-8")):
        for name, case in document["tests"].items():
            yield pytest.param(case, document["zonedata"], id=f"{document['description']}: {name}")


def zone(data: Mapping[str, list[Any]]) -> FixedResolver:
    """The suite's zone: SPF records stand for TXT where a name has none, a bare TIMEOUT makes the rest fail."""
    records: dict[str, dict[str, list[Data]]] = {}
    failing = []
    for name, entries in data.items():
        node = records.setdefault(name.lower(), {})
        given = [pair for entry in entries if isinstance(entry, dict) for pair in entry.items()]
        has_text = any(kind == "TXT" for kind, _ in given)
        for kind, value in given:
            if value != "NONE" and not (kind == "SPF" and has_text):
                node.setdefault("TXT" if kind == "SPF" else kind, []).append(record(kind, value))
        if "TIMEOUT" in entries:
            failing.append(name)
    return FixedResolver(records, failing)


def record(kind: str, value: Any) -> Data:
    if kind in ("SPF", "TXT"):
        return "".join(value).encode("latin-1")
    if kind == "MX":
        return Exchange(int(value[0]), value[1])
    return str(value)


@pytest.mark.parametrize(("case", "zonedata"), list(cases()))
def test_case(case: dict[str, Any] | None, zonedata: dict[str, Any] | None, vectors: Path) -> None:
    if case is None or zonedata is None:
        pytest.fail(f"{vectors} has no {FILE}")
    local, _, domain = case["mailfrom"].rpartition("@")
    finding = settle(
        check_host(
            client=ipaddress.ip_address(case["host"]),
            identity=Identity.MAIL_FROM,
            domain=domain or case["helo"],
            local=local,
            hello=case["helo"],
            receiver="receiver.example",
            now=1_700_000_000,
        ),
        zone(zonedata).answer,
    )
    allowed = case["result"] if isinstance(case["result"], list) else [case["result"]]
    assert finding.result.value in allowed, finding.reason
    if "explanation" in case:
        wanted = case["explanation"]
        assert finding.explanation == ("" if wanted == "DEFAULT" else wanted)

"""Any TXT record is a DKIM key or one UnusableKey, and a DMARC record or none."""

import contextlib

from relaygw.core.dkim.key import UnusableKey, read_key
from relaygw.core.dmarc.record import is_record, read_record

SEEDS = (
    b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=; t=y:s; h=sha1:sha256; s=email",
    b"v=DKIM1; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1Pt8Qu",
    b"v=DMARC1; p=reject; sp=none; np=quarantine; psd=y; t=y; adkim=s; aspf=r; rua=mailto:a@b.test!1m; ruf=x:y; fo=1:d",
)


def one_input(data: bytes) -> None:
    with contextlib.suppress(UnusableKey):
        key = read_key(data)
        assert key.type in ("rsa", "ed25519")
        assert key.size > 0
        assert not key.made(b"", bytes(32))
    if is_record(data):
        record = read_record(data)
        assert record.flaw or record.policy is not None
        assert all(":" in uri for uri in record.reports + record.failure_reports)

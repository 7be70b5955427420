"""Any TXT record announces a policy of MTA-STS or none; any octets are a policy or one StsError; any answer of a token
server is a token or one OauthError."""

import contextlib

from relaygw.core.oauth import MAX_TOKEN, OauthError, challenge_words, parse_token
from relaygw.core.sts import MAX_AGE, MAX_PATTERNS, StsError, parse_policy, record_id

SEEDS = (
    b"v=STSv1; id=20260101T000000;",
    b"version: STSv1\r\nmode: enforce\r\nmx: *.example.org\r\nmx: mx.test\nmax_age: 86400\n",
    b'{"access_token": "ya29.a-b_c", "token_type": "Bearer", "expires_in": 3599, "refresh_token": "1//x"}',
    b'{"error": "invalid_grant", "error_description": "AADSTS700082: x\\r\\ny", "expires_in": NaN}',
    b"eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIn0=",
)


def one_input(data: bytes) -> None:
    announced = record_id([data])
    assert announced.isalnum() or not announced
    with contextlib.suppress(StsError):
        policy = parse_policy(data)
        assert len(policy.mx) <= MAX_PATTERNS
        assert 0 <= policy.max_age <= MAX_AGE
        assert parse_policy("\n".join(policy.lines()).encode()) == policy
    for status in (200, 400):
        with contextlib.suppress(OauthError):
            token = parse_token(status, data)
            assert 0 < len(token.access) <= MAX_TOKEN
            assert 0 <= token.lifetime <= 10**9
    assert challenge_words(data.decode("utf-8", "replace")).isprintable()

"""Any octets are a SCRAM message or one ScramError, and a message says no more than its octets do."""

import base64

from relaygw.core.scram import ScramError, derive_keys, parse_final, parse_first, parse_keys, proven, server_first

_KEYS = derive_keys("pencil", b"0123456789abcdef", 4096)
_PROOF = b",p=" + base64.b64encode(bytes(32))
SEEDS = (
    b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    b"p=tls-exporter,a=user,n=us=2Cer=3D,r=x,e=later",
    b"y,,n=us\xc2\xader,r=x",
    b"y,,n=\xc2\xad,r==x",
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    b"c=biws,r=x,e=later" + _PROOF,
    str(_KEYS).encode(),
)


def one_input(data: bytes) -> None:
    try:
        first = parse_first(data)
    except ScramError:
        pass
    else:
        assert first.header + first.bare == data
        assert first.username
        assert (first.flag == "p") is bool(first.binding)
        challenge = server_first(_KEYS, first.nonce, b"servers")
        assert challenge.count(b",") == 2
    try:
        final = parse_final(data)
    except ScramError:
        pass
    else:
        assert data.startswith(final.signed + b",p=")
        assert not proven(_KEYS, data, final.proof)
    try:
        keys = parse_keys(data.decode("utf-8", "replace"))
    except ScramError:
        return
    assert parse_keys(str(keys)) == keys

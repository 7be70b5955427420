"""What a transport would do, without doing it: each host with its TLS policy and why; and, where that is asked for, a
conversation as far as EHLO and TLS, with the certificate that was shown. No login, no mail.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from twisted.internet.defer import Deferred

from relaygw.egress.broken import Broken
from relaygw.egress.client import Session
from relaygw.egress.delivery import Courier, Stop
from relaygw.egress.hop import Hop, Login, TlsMode
from relaygw.egress.policy import ruling_of
from relaygw.egress.resumption import Resumption

MAX_HOSTS = 10
"""Addresses looked at."""

TIMEOUT = 20.0
"""Seconds for each of them, all at once."""

Told = Mapping[str, Any]


async def rehearse(courier: Courier, stops: Sequence[Stop], connect: bool) -> tuple[Told, ...]:
    """One document per address, in the order of attempts."""
    running = [Deferred.fromCoroutine(_one(courier, stop, connect)) for stop in stops[:MAX_HOSTS]]
    return tuple([await each for each in running])


async def _one(courier: Courier, stop: Stop, connect: bool) -> Told:
    target, hop = stop.target, stop.hop
    ruling = await ruling_of(courier.policies, stop.domain, target.host, hop)
    told: dict[str, Any] = {
        "host": target.host,
        "address": target.address,
        "port": hop.port,
        "preference": target.preference,
        "tls": ruling.hop.tls.value,
        "tls_why": ruling.why,
        "avoided": courier.failing.avoided((target.address, hop.port)),
    }
    if ruling.refusal:
        return told | {"refused": ruling.refusal}
    if connect:
        told["connection"] = await _connected(courier, stop, ruling.hop)
    return told


async def _connected(courier: Courier, stop: Stop, hop: Hop) -> Told:
    quiet = attrs.evolve(hop, login=None)
    # A resumed session would show the certificate of before.
    opener = attrs.evolve(courier.opener, resumption=Resumption(courier.clock))
    opening = Deferred.fromCoroutine(opener.open(stop.target, quiet))
    timer = courier.clock.callLater(TIMEOUT, opening.cancel)
    try:
        session: Session = await opening
    except Broken as failure:
        return {"problem": str(failure.reply), "result": failure.result}
    except Exception as error:
        if timer.active():
            raise
        return {"problem": f"no session within {TIMEOUT:g} seconds ({type(error).__name__})", "result": ""}
    finally:
        if timer.active():
            timer.cancel()
    told = _session(session)
    session.connection.quit()
    return told


def _session(session: Session) -> Told:
    offered = session.offered
    told: dict[str, Any] = {
        "problem": "",
        "size": offered.size,
        "mechanisms": sorted(offered.mechanisms),
        "result": session.doubt if session.hop.tls is not TlsMode.NONE else "",
    }
    if session.tls is None:
        return told
    found = session.connection.handle().get_peer_certificate(as_cryptography=True)
    return told | {
        "tls": session.tls.version,
        "cipher": session.tls.cipher,
        "verified": session.tls.verified,
        "certificate": certificate(found) if found is not None else {},
    }


def certificate(found: x509.Certificate) -> Told:
    """What people look for in a certificate."""
    return {
        "subject": found.subject.rfc4514_string(),
        "issuer": found.issuer.rfc4514_string(),
        "names": _names(found),
        "not_before": found.not_valid_before_utc.isoformat(),
        "not_after": found.not_valid_after_utc.isoformat(),
        "sha256": found.fingerprint(hashes.SHA256()).hex(),
    }


def _names(found: x509.Certificate) -> list[str]:
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def credentials(login: Login | None) -> str:
    """The name of a login and where its secret is, never the secret."""
    if login is None:
        return ""
    if login.oauth is not None:
        return f"{login.username} (tokens from {login.oauth.token_url} for {login.oauth.client_id})"
    if login.password is not None:
        return f"{login.username} (password in {login.password})"
    return f"{login.username or 'whoever our certificate says'} (by certificate)"

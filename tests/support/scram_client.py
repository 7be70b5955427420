"""A SCRAM-SHA-256 client written from RFC 5802, sharing nothing with the server's code."""

import base64
import hashlib
import hmac


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


class ScramClient:
    """`binding` is (name, data) with "p"; `flag` "n" or "y" without it."""

    def __init__(
        self,
        username: str,
        password: str,
        *,
        flag: str = "n",
        binding: tuple[str, bytes] | None = None,
        nonce: str = "rOprNGfwEbeRWgbNEkqO",
        authzid: str = "",
    ) -> None:
        escaped = username.replace("=", "=3D").replace(",", "=2C")
        gs2 = f"p={binding[0]}" if binding else flag
        self._header = f"{gs2},{f'a={authzid}' if authzid else ''},".encode()
        self._bare = f"n={escaped},r={nonce}".encode()
        self._bound = binding[1] if binding else b""
        self._password = password
        self._server_signature = b""

    @property
    def first(self) -> bytes:
        return self._header + self._bare

    def final(self, server_first: bytes) -> bytes:
        """The answer to the server's first message."""
        nonce, salt, rounds = (part[2:] for part in server_first.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", self._password.encode(), base64.b64decode(salt), int(rounds))
        client_key = _hmac(salted, b"Client Key")
        without = b"c=" + base64.b64encode(self._header + self._bound) + b",r=" + nonce
        message = b",".join((self._bare, server_first, without))
        signature = _hmac(hashlib.sha256(client_key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._server_signature = _hmac(_hmac(salted, b"Server Key"), message)
        return without + b",p=" + base64.b64encode(proof)

    def trusts(self, server_final: bytes) -> bool:
        """Whether the server knows the password too."""
        return server_final == b"v=" + base64.b64encode(self._server_signature)

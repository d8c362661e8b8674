"""Who may open the page, and what a browser may load from it."""

import base64
import binascii
import hmac
from collections.abc import Sequence

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lesion_core.errors import ConfigError

# Scripts and styles of Gradio's page are inline; nothing may come from, or go to, another host.
_CONTENT_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'"
)


class Users:
    """Names and passwords that may open the page; none means that anybody may.

    Args:
        pairs: ``name:password`` each.

    Raises:
        ConfigError: A pair has no name or no password.
    """

    def __init__(self, pairs: Sequence[str]) -> None:
        self._passwords: dict[str, bytes] = {}
        for number, pair in enumerate(pairs, start=1):
            name, _, password = pair.partition(":")
            if not name or not password:
                raise ConfigError(
                    f"expected LESION_PAGE_USERS as name:password pairs, separated by commas; entry {number} has "
                    "no name or no password"
                )
            self._passwords[name] = password.encode()

    @property
    def required(self) -> bool:
        """Whether a login is asked for."""
        return bool(self._passwords)

    def accept(self, name: str, password: str) -> bool:
        """Say whether this pair may enter; takes as long for a wrong name as for a wrong password."""
        expected = self._passwords.get(name)
        matches = hmac.compare_digest(password.encode(), expected or b"\0")
        return matches and expected is not None

    def accept_basic(self, header: str | None) -> bool:
        """Say whether an ``Authorization`` header (HTTP basic, RFC 7617) may enter."""
        if not self.required:
            return True
        scheme, _, encoded = (header or "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return self.accept(name, password)


class GuardedHeaders:
    """Adds headers to every HTTP answer: no foreign hosts, no guessing of types, nothing kept by caches."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = _CONTENT_POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                if not str(scope["path"]).startswith(("/assets/", "/static/")):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self._app(scope, receive, send_guarded)

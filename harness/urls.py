"""Addresses as they may be shown and kept: user, password, query and fragment may be secrets."""

import re
from urllib.parse import urlsplit

# In the place of one that is malformed: no server has such a name.
NO_ADDRESS = "http://hf-endpoint-is-no-address.invalid"

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]*[^\s'\"<>;,:.)\]]")
_PLAIN_HOST = re.compile(r"(\[[0-9A-Fa-f:.]*\]|[^@:/?#\s]*)(:\d*)?(?=[/?#]|$)")
_SECRET = re.compile(
    r"([?&][^=&\s'\"]*(?:token|key|secret|password|signature|credential)[^=&\s'\"]*=)[^&\s'\"]+",
    re.IGNORECASE,
)


def shown_url(url: str) -> str:
    """Scheme, host, port and path of an address, also of one that is malformed."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        scheme, rest = "", url
    if not _PLAIN_HOST.match(rest):
        # A password may hold any character: all before the last `@` may be one.
        rest = rest.rpartition("@")[2]
    return scheme + mark + re.split(r"[?#]", rest, maxsplit=1)[0]


def without_secrets(text: str) -> str:
    """A text, such as a library's message, with its addresses as they may be shown."""
    return _SECRET.sub(r"\1...", _ADDRESS.sub(lambda one: shown_url(one[0]), text))


def is_web_address(url: str) -> bool:
    """Whether it is the address of a server that is asked by HTTP."""
    try:
        parts = urlsplit(url)
        whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    return whole and parts.scheme in ("http", "https") and url.isprintable() and " " not in url

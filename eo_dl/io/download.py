"""Files from the web: over HTTPS, checked by their SHA-256, kept in a cache."""

from __future__ import annotations

import hashlib
import http.client
import io
import ipaddress
import logging
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import IO

from ..errors import AnswerError, InputError
from .atomic import atomic_file

log = logging.getLogger(__name__)

MOST_BYTES = 4 * 2**30
"""The largest file that is downloaded."""
_PIECE_BYTES = 2**20
_SECONDS = 30.0
_REDIRECTS = (301, 302, 303, 307, 308)


def cache_folder() -> Path:
    """Where downloads are kept: the environment variable EO_DL_CACHE, or the user's folder for caches."""
    chosen = os.environ.get("EO_DL_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "eo_dl" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "eo_dl"
    linux = os.environ.get("XDG_CACHE_HOME")
    return (Path(linux) if linux else Path.home() / ".cache") / "eo_dl"


def download(url: str, sha256: str, name: str, *, most_bytes: int = MOST_BYTES) -> Path:
    """A file from the web, or from the cache if it was downloaded before.

    Args:
        url: Address, https (http only on this machine).
        sha256: The hash that the content must have.
        name: Name of the file in the cache.
        most_bytes: The largest size.

    Returns:
        The file in the cache, complete and checked.

    Raises:
        InputError: The address cannot be reached or leads elsewhere than to HTTPS, or the content is too
            large or another one than expected.
        WriteError: The cache cannot be written.
    """
    path = cache_folder() / "downloads" / sha256 / name
    if path.is_file() and _sha256_of(path) == sha256:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    log.info("downloading %s", url)
    with atomic_file(path, overwrite=True) as part, part.open("wb") as file:
        found = _copy(url, file, most_bytes)
        if found != sha256:
            raise InputError(
                f"{url}: its SHA-256 is {found}, expected {sha256}; the file is damaged or another one"
            )
    return path


def fetch_bytes(url: str, most_bytes: int, *, headers: Mapping[str, str] | None = None) -> bytes:
    """The content of an address, which is not kept.

    Args:
        url: Address, https (http only on this machine).
        most_bytes: The largest size.
        headers: Further headers of the request.

    Raises:
        InputError: The address cannot be reached or leads elsewhere than to HTTPS, or the content is too
            large.
    """
    file = io.BytesIO()
    _copy(url, file, most_bytes, headers)
    return file.getvalue()


def header_without_redirect(url: str, name: str) -> str | None:
    """The value of a header of a response, taken before a redirection to another server.

    Redirections on the same server, e.g. of a renamed repository, are followed.

    Args:
        url: Address, https (http only on this machine).
        name: The header.

    Raises:
        InputError: The address cannot be reached.
    """
    address = url
    for _ in range(5):
        try:
            with _opener(_Stay()).open(_request(address, "HEAD"), timeout=_SECONDS) as response:
                return _text(response.headers, name)
        except urllib.error.HTTPError as error:
            value, target = _text(error.headers, name), _text(error.headers, "Location")
            error.close()
            if error.code not in _REDIRECTS:
                raise _failed(url, error) from error
            elsewhere = urllib.parse.urljoin(address, target or "")
            if value is not None or _server(elsewhere) != _server(address):
                return value
            address = elsewhere
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _failed(url, error) from error
    return None


def _copy(url: str, file: IO[bytes], most_bytes: int, headers: Mapping[str, str] | None = None) -> str:
    """Write the content into a file and give its SHA-256 back."""
    digest, count = hashlib.sha256(), 0
    try:
        request = _request(url, "GET")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        with _opener(_StayOnHttps()).open(request, timeout=_SECONDS) as response:
            expected = _text(response.headers, "Content-Length")
            while piece := response.read(_PIECE_BYTES):
                count += len(piece)
                if count > most_bytes:
                    raise InputError(f"{url}: is larger than {most_bytes} bytes, the most that is downloaded")
                digest.update(piece)
                file.write(piece)
    except urllib.error.HTTPError as error:
        wait = _text(error.headers, "Retry-After") or ""
        error.close()
        seconds = float(wait) if wait.isdigit() else None
        raise AnswerError(str(_failed(url, error)), error.code, seconds) from error
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _failed(url, error) from error
    if expected is not None and expected.isdigit() and count != int(expected):
        raise InputError(f"{url}: the download stopped after {count} of {expected} bytes; try again")
    return digest.hexdigest()


class _StayOnHttps(urllib.request.HTTPRedirectHandler):
    """Follows redirections to HTTPS only."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """See urllib. Raises `InputError` for other addresses."""
        try:
            check_address(newurl)
        except InputError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: it is an `HTTPError`."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """See urllib."""
        return None


def check_address(url: str) -> None:
    """Raises `InputError` unless an address is HTTPS, or HTTP on this machine."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname)):
        return
    raise InputError(f"{url}: files are downloaded over https only; download it yourself and pass its path")


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _opener(redirects: urllib.request.HTTPRedirectHandler) -> urllib.request.OpenerDirector:
    """Knows HTTP and HTTPS, unlike urllib's own, which also opens file: and ftp: addresses."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        redirects,
    ):
        opener.add_handler(handler)
    return opener


def _request(url: str, method: str) -> urllib.request.Request:
    check_address(url)
    # Without compression: the hash is that of the stored file.
    headers = {"User-Agent": "eo_dl", "Accept-Encoding": "identity"}
    return urllib.request.Request(url, headers=headers, method=method)


def _text(headers: Message, name: str) -> str | None:
    value = headers.get(name)
    return None if value is None else str(value)


def _server(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc


def _failed(url: str, error: Exception) -> InputError:
    if isinstance(error, urllib.error.HTTPError):
        cause = f"the server answers {error.code} {error.reason}"
    else:
        cause = str(getattr(error, "reason", error)) or type(error).__name__
    plain = re.sub(r"\s+", " ", cause)
    return InputError(
        f"{url}: cannot be downloaded ({plain}); check address and network, or download it yourself and pass "
        "its path"
    )


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

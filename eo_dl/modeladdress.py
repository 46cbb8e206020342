"""Models by address: `hf://owner/name` on Hugging Face, or `https://.../model.eodl#sha256=...`."""

from __future__ import annotations

import os
import re
import urllib.parse
from pathlib import Path, PurePosixPath

from .errors import BundleError, InputError
from .io.download import download, header_without_redirect

HUB_FILE = "model.eodl"
"""The file that a repository on Hugging Face holds."""

_HUB = "https://huggingface.co"
_HUB_ADDRESS = re.compile(r"hf://(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)(@(?P<revision>[\w./-]+))?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def fetch_model(address: str) -> Path:
    """The file of a model on the web, downloaded once and checked by its SHA-256.

    Args:
        address: `hf://owner/name`, `hf://owner/name@revision`, or the URL of an .eodl file; behind
            `#sha256=` its hash, which a URL needs and Hugging Face knows.

    Returns:
        The file in the cache (`io.download.cache_folder`).

    Raises:
        BundleError: The address is none of these, cannot be reached, or gives another file.
    """
    place, _, fragment = address.partition("#")
    sha256 = _stated_hash(address, fragment)
    try:
        if place.startswith("hf://"):
            return _from_hub(place, sha256)
        return _from_url(place, sha256)
    except InputError as error:
        raise BundleError(str(error)) from error


def _stated_hash(address: str, fragment: str) -> str | None:
    if not fragment:
        return None
    stated = fragment.removeprefix("sha256=").lower()
    if not fragment.startswith("sha256=") or not _SHA256.fullmatch(stated):
        raise BundleError(f"{address}: expected #sha256= with 64 hexadecimal digits, found #{fragment}")
    return stated


def _from_hub(place: str, sha256: str | None) -> Path:
    match = _HUB_ADDRESS.fullmatch(place)
    if match is None:
        raise BundleError(f"{place}: expected hf://owner/name or hf://owner/name@revision")
    hub = os.environ.get("HF_ENDPOINT", _HUB).rstrip("/")
    revision = urllib.parse.quote(match["revision"] or "main", safe="")
    url = f"{hub}/{match['owner']}/{match['name']}/resolve/{revision}/{HUB_FILE}"
    if sha256 is None:
        tag = header_without_redirect(url, "X-Linked-Etag") or ""
        sha256 = tag.removeprefix("W/").strip('"').lower()
        if not _SHA256.fullmatch(sha256):
            raise BundleError(
                f"{place}: Hugging Face states no SHA-256 of {HUB_FILE}, which it does for files in Git LFS; "
                "add #sha256= and the hash to the address"
            )
    return download(url, sha256, f"{match['name']}.eodl")


def _from_url(url: str, sha256: str | None) -> Path:
    name = PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    if not name.endswith(".eodl"):
        raise BundleError(f"{url}: expected the address of an .eodl file, or hf://owner/name")
    if sha256 is None:
        raise BundleError(
            f"{url}: add #sha256= and the hash of the file to the address, so that no other file is taken "
            f"for it (sha256sum {name} prints it)"
        )
    return download(url, sha256, re.sub(r"[^\w.-]", "_", name))

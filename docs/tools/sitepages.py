"""A hook of mkdocs: pages of the site that do not lie in docs/, and links that work in the repository, too.

Pages link to files of the repository by their relative path, so the links also work in a checkout and on
GitHub. Some linked files are pages or downloads of the site: the benchmarks, notebooks, CHANGELOG,
CONTRIBUTING and others (`SITE_FILES`). This hook adds them to the site and turns the links to them into links
within it. A link to any other file outside docs/ is not changed, and mkdocs reports it.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))
from clireference import cli_reference

ROOT = Path(__file__).resolve().parents[2]
CLI_PAGE = "reference/cli.md"
# Path in the repository -> path in the site.
SITE_FILES = {
    "CHANGELOG.md": "development/changelog.md",
    "CONTRIBUTING.md": "development/contributing.md",
    "LICENSE": "development/LICENSE.txt",
    "CITATION.cff": "development/CITATION.cff",
    "SECURITY.md": "development/security.md",
    "sample_data/README.md": "start/sample-data.md",
}
# Folders of the repository whose files are part of the site, under the same path.
SITE_FOLDERS = {"benchmarks": "*.md", "notebooks": "*.ipynb", "configs": "*.yaml"}
# Pages of benchmarks are linked from docs/benchmarks.md, not from the navigation.
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)#\s]+)(#[^)\s]*)?(\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files of the repository and the reference of the command line."""
    for source, target in site_paths().items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, CLI_PAGE, content=cli_reference()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to files of the repository become links within the site."""
    sources = {target: source for source, target in site_paths().items()}
    site_path = page.file.src_uri
    return relinked(markdown, sources.get(site_path, f"docs/{site_path}"), site_path)


def site_paths() -> dict[str, str]:
    """Path in the repository -> path in the site, of all files that do not lie in docs/."""
    paths = dict(SITE_FILES)
    for folder, pattern in SITE_FOLDERS.items():
        for path in sorted((ROOT / folder).glob(pattern)):
            relative = path.relative_to(ROOT).as_posix()
            paths[relative] = relative
    return paths


def relinked(markdown: str, source: str, site_path: str) -> str:
    """The Markdown of the file `source` of the repository as that of the page `site_path` of the site."""
    paths = site_paths()

    def replaced(match: re.Match[str]) -> str:
        before, target, anchor, after = match.groups()
        if "://" in target or target.startswith(("/", "mailto:")):
            return match.group(0)
        linked = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if linked.startswith("docs/"):
            in_site = linked.removeprefix("docs/")
        elif linked in paths:
            in_site = paths[linked]
        else:
            return match.group(0)
        relative = posixpath.relpath(in_site, posixpath.dirname(site_path) or ".")
        return f"{before}{relative}{anchor or ''}{after}"

    return _LINK.sub(replaced, markdown)

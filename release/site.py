"""Builds the documentation site: ``make site`` prepares the pages with this module and renders them with Zensical.

The pages are those in docs/. Generated pages are only in the build directory: the front page (README), the pages from
the root directory, a page for each command, the state diagram as an image, and the charts.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import sys
import textwrap
from pathlib import Path

from release import charts, verbs
from release.diagram import state_diagram
from release.performance_page import filled

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "site"
PAGES = BUILD / "docs"
ROOT_PAGES = ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
CONFIGURATION = ROOT / "release" / "zensical.toml"
HOW_TO_GROUPS = {
    "Credentials": (
        "credentials",
        "sign-in",
        "sign-in-saml-oidc",
        "keys",
        "roles-and-identity",
        "run-programs",
        "shells",
        "serve",
        "console",
        "database-tokens",
        "kubernetes",
        "containers",
    ),
    "Sessions": ("targets", "shell", "forward", "tunnels", "ssh", "run", "copy", "fleet", "sessions"),
}  # fmt: skip - the rest of docs/how-to is in a separate group
OTHER_GROUP = "Around it"
FRONT_TITLE = "AWS credentials for a program, and SSM sessions"
DESCRIPTION_LENGTH = 160  # characters; search engines show about as many


def prepare(results: Path) -> None:
    """Write the sources of the site to the build directory.

    Args:
        results: directory with the stored numbers of the benchmarks.
    """
    shutil.rmtree(BUILD, ignore_errors=True)
    shutil.copytree(ROOT / "docs", PAGES)
    (PAGES / "index.md").write_text(_root_page("README.md"), encoding="utf-8")
    for name in ROOT_PAGES:
        (PAGES / name).write_text(_root_page(name), encoding="utf-8")
    names = verbs.write_pages(PAGES / "reference" / "commands", PAGES / "how-to")
    _draw_states(PAGES / "protocol" / "README.md")
    performance = PAGES / "reference" / "performance.md"
    tables = filled(performance.read_text(encoding="utf-8"), results)
    performance.write_text(charts.draw_charts(tables, results, PAGES / "reference" / "charts"), encoding="utf-8")
    _index(PAGES / "adr")
    shutil.copy(ROOT / "release" / "site.css", PAGES)
    shutil.copytree(ROOT / "release" / "site_overrides", BUILD / "overrides")
    for page in PAGES.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        text = front_matter(text, FRONT_TITLE if page.parent == PAGES and page.name == "index.md" else "") + text
        text = re.sub(r"\]\((?:\.\./)+([A-Z]+\.md)", _to_root(page), text)
        page.write_text("".join(map(_with_bars, text.splitlines(keepends=True))), encoding="utf-8")
    settings = CONFIGURATION.read_text(encoding="utf-8").replace("nav = []", f"nav = {_toml(_navigation(names))}")
    (BUILD / "zensical.toml").write_text(settings, encoding="utf-8")


def front_matter(page: str, title: str = "") -> str:
    """Return the lines that describe a page to search engines: its first paragraph as plain text.

    Args:
        page: its Markdown.
        title: replaces its heading.
    """
    without_comments = re.sub(r"<!--.*?-->", "", page, flags=re.DOTALL)
    blocks = (block.strip("\n") for block in re.split(r"\n\s*\n", without_comments))
    prose = (block for block in blocks if re.match(r"[A-Za-z`\[\"*]", block))
    text = " ".join(re.sub(r"!?\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", next(prose, "")).split())
    lines = [f"title: {json.dumps(title)}"] if title else []
    if text := text[:1].upper() + text[1:]:
        lines.append(f"description: {json.dumps(textwrap.shorten(text, DESCRIPTION_LENGTH, placeholder=' ...'))}")
    return "\n".join(["---", *lines, "---", "", ""]) if lines else ""


def _root_page(name: str) -> str:
    """Return a page from the root directory, with links adjusted to its new place."""
    text = (ROOT / name).read_text(encoding="utf-8")
    text = text.replace("](docs/", "](").replace('src="docs/', 'src="')
    text = text.replace("](adr/)", "](adr/README.md)").replace("](LICENSE)", "](#)")
    return re.sub(r"\[([^\]]*)\]\((?:src|tests|bench|release|\.ci)[^)]*\)", r"\1", text)


def _with_bars(line: str) -> str:
    r"""Write the bars of code in a table as the generator shows them: it would leave the backslash of ``\|`` there."""
    if not line.lstrip().startswith("|"):
        return line
    return re.sub(r"`([^`]*\\\|[^`]*)`", lambda code: f"<code>{_escaped(code[1])}</code>", line)


def _escaped(code: str) -> str:
    return html.escape(code.replace("\\|", "|"), quote=False).replace("|", "&#124;")


def _to_root(page: Path) -> str:
    up = "../" * (len(page.relative_to(PAGES).parts) - 1)
    return rf"]({up}\1"


def _draw_states(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    drawn = re.sub(r"```mermaid\n.*?\n```", lambda _: state_diagram(), text, count=1, flags=re.DOTALL)
    page.write_text(drawn, encoding="utf-8")


def _index(directory: Path) -> None:
    """Add a list of the pages in a directory to its first page, unless the page has one."""
    page = directory / "README.md"
    text = page.read_text(encoding="utf-8")
    rows = [f"- [{_title(path)}]({path.name})" for path in sorted(directory.glob("[0-9]*.md"))]
    if rows[0] not in text:
        page.write_text("\n".join([text.rstrip(), "", "## All decisions", "", *rows, ""]), encoding="utf-8")


def _navigation(names: list[str]) -> list[object]:
    how_to = {path.stem: path for path in sorted((PAGES / "how-to").glob("*.md"))}
    groups: list[object] = []
    for title, wanted in HOW_TO_GROUPS.items():
        groups.append({title: [_entry(how_to.pop(name)) for name in wanted if name in how_to]})
    groups.append({OTHER_GROUP: [_entry(path) for path in how_to.values()]})
    reference = [_entry(path) for path in sorted((PAGES / "reference").glob("*.md"))]
    commands = ["reference/commands/index.md", *({name: f"reference/commands/{name}.md"} for name in names)]
    return [
        {"aws-runas": "index.md"},
        {"Tutorial": [_entry(path) for path in sorted((PAGES / "tutorial").glob("*.md"))]},
        {"How to": groups},
        {"Commands": commands},
        {"Reference": [*reference, {"Session protocol": "protocol/README.md"}]},
        {"Explanation": [_entry(path) for path in sorted((PAGES / "explanation").glob("*.md"))]},
        {
            "Project": [
                {"Changes": "CHANGELOG.md"},
                {"Report a security problem": "SECURITY.md"},
                {"Architecture": "ARCHITECTURE.md"},
                {"Contributing": "CONTRIBUTING.md"},
                {"Decisions": ["adr/README.md", *(_entry(path) for path in sorted((PAGES / "adr").glob("[0-9]*.md")))]},
            ]
        },
    ]


def _entry(path: Path) -> dict[str, str]:
    return {_title(path): path.relative_to(PAGES).as_posix()}


def _title(path: Path) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            return line.removeprefix("# ").replace("`", "")
    raise ValueError(f"{path} has no heading of the first level")


def _toml(value: object) -> str:
    """Write nested lists and tables of strings as an inline TOML value."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_toml(inner)}" for name, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    return json.dumps(value)


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))

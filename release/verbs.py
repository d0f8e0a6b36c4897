"""A page and a manual page for each command, from the program's tables of commands, flags and examples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from aws_runas.cli.parsing import help as help_pages
from aws_runas.cli.parsing.manual import manual
from aws_runas.fast.names import COMMANDS

# Command -> how-to page, if the page has another name.
HOW_TO = {
    "cp": "copy",
    "ecr": "containers",
    "exec": "run-programs",
    "init": "shells",
    "list": "roles-and-identity",
    "login": "sign-in",
    "logout": "sign-in",
    "password": "keys",
    "sso": "sign-in",
    "token": "kubernetes",
    "whoami": "roles-and-identity",
}


def write_pages(directory: Path, how_to: Path) -> list[str]:
    """Write a Markdown page for each command, and an index of them.

    Args:
        directory: where the pages are written.
        how_to: the how-to pages; a command's page links to the one of its name, if it exists.

    Returns:
        The names of the commands, in the order of the help.
    """
    directory.mkdir(parents=True, exist_ok=True)
    rows = []
    names = []
    for name, summary, text in _pages(how_to):
        (directory / f"{name}.md").write_text(text, encoding="utf-8")
        rows.append(f"| [`{name}`]({name}.md) | {summary} |")
        names.append(name)
    index = ["# Commands", "", "| command | what it does |", "|---|---|", *rows, ""]
    (directory / "index.md").write_text("\n".join(index), encoding="utf-8")
    return names


def write_manuals(directory: Path) -> list[Path]:
    """Write ``aws-runas.1`` and ``aws-runas-COMMAND.1`` for each command, and return the files."""
    directory.mkdir(parents=True, exist_ok=True)
    pages = {"aws-runas.1": manual()} | {
        f"aws-runas-{name}.1": manual(name) for name, _, _ in help_pages.commands() if name != "exec"
    }
    for name, text in pages.items():
        (directory / name).write_text(text, encoding="utf-8")
    return [directory / name for name in pages]


def _pages(how_to: Path) -> Iterator[tuple[str, str, str]]:
    """Return command, summary and Markdown of each page."""
    for name, module, parser in help_pages.commands():
        summary = _sentence(module.SUMMARY)
        parts = [f"# {name}", summary, f"    aws-runas [flags] {help_pages.usage(name, module, parser)}"]
        aliases = [f"`{alias}`" for alias, command in COMMANDS.items() if command == name and alias != name]
        if aliases:
            parts.append(f"Also spelled {', '.join(aliases)}.")
        examples = getattr(module, "EXAMPLES", ())
        if examples:
            parts.append("## Examples")
            parts += [f"{_sentence(text)}\n\n    {command}" for command, text in examples]
        for title, rows in (("Arguments", help_pages.arguments(parser)), ("Flags", help_pages.flags(parser, ""))):
            if rows:
                parts += [f"## {title}", table(rows)]
        parts.append(_see_also(name, how_to))
        yield name, summary, "\n\n".join(parts) + "\n"


def _see_also(name: str, how_to: Path) -> str:
    page = HOW_TO.get(name, name)
    links = ["[flags that every command takes](../cli.md)", "[exit statuses](../exit-status.md)"]
    path = how_to / f"{page}.md"
    if path.exists():
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        links.insert(0, f"[{title}](../../how-to/{page}.md)")
    return "## See also\n\n" + "\n".join(f"- {link}" for link in links)


def table(rows: list[tuple[str, str]]) -> str:
    """Return spellings and their descriptions as a Markdown table."""
    lines = ["| spelling | meaning |", "|---|---|"]
    for left, right in rows:
        spelling = left.strip().replace("|", "\\|")
        text = right.replace("|", "\\|").replace("<", "\\<")
        lines.append(f"| `{spelling}` | {text} |")
    return "\n".join(lines)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")

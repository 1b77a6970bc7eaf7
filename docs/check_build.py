"""Check the built pages: links inside resolve, and the gallery's scripts are quick.

Usage: python docs/check_build.py docs/_build/html
"""

import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

SECONDS = 20  # a script of the gallery may take


class Page(HTMLParser):
    """The addresses that a page refers to, and the places that it has."""

    def __init__(self, path):
        super().__init__()
        self.links, self.places = set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        """Note links and ids of a tag."""
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.add(value)
            elif name in ("id", "name") and value:
                self.places.add(value)


def broken_links(folder):
    """Yield what is wrong with the links between the pages of a folder."""
    files = (path for path in folder.rglob("*.html") if "_static" not in path.parts)
    pages = {path.resolve(): Page(path) for path in files}
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            if not target.exists():
                yield f"{path.name}: {link} leads nowhere"
            elif place and target in pages and place not in pages[target].places:
                yield f"{path.name}: {link}: the page has no such place"


def slow_scripts(folder):
    """Yield the gallery's scripts that took too long, by what sphinx-gallery noted of them."""
    notes = sorted(folder.rglob("plot_*.cost.json"))
    if not notes:
        yield "no script of the gallery was run"
    for path in notes:
        seconds = json.loads(path.read_text(encoding="utf-8"))["time"]
        if seconds > SECONDS:
            yield f"{path.name.split('.')[0]}.py took {seconds:.0f} s, more than {SECONDS} s"


if __name__ == "__main__":
    here = Path(__file__).parent
    problems = [*broken_links(Path(sys.argv[1])), *slow_scripts(here / "auto_examples")]
    sys.exit("\n".join(problems) or None)

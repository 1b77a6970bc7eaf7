"""The notebook among the examples: it runs, and a browser shows it without script errors."""

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow


nbformat = pytest.importorskip("nbformat", reason="notebooks need nbformat")
nbclient = pytest.importorskip("nbclient", reason="running notebooks needs nbclient")
pytest.importorskip("ipykernel", reason="running notebooks needs ipykernel")

NOTEBOOK = Path(__file__).parents[1] / "examples" / "comparing_with_mlpregressor.ipynb"
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def executed():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    )
    backend = os.environ.pop("MPLBACKEND", None)  # pictures go into the notebook
    try:
        client.execute()  # raises what a cell raises
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    return notebook


def outputs(notebook, kind):
    """Return what the cells of a notebook show of one MIME type."""
    found = [
        output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])
    ]
    return [data[kind] for data in found if kind in data]


def test_notebook_runs_and_shows_tables_pictures_and_the_network(executed):
    sizes, same, scores, block = outputs(executed, "text/html")
    assert "penguins" in sizes and "TinyMLPEnsembleRegressor" in scores
    assert "Trained network" in block and "<svg" in block and "bill_length_mm" in block
    assert len(outputs(executed, "image/png")) == 4
    differences = [float(number) for number in re.findall(r"[\d.]+e-\d+", same)]
    assert len(differences) == 3 and max(differences) < 1e-8
    texts = [str(out) for cell in executed.cells for out in cell.get("outputs", [])]
    # On a busy machine a fit may take so long that it is logged.
    assert not [text for text in texts if "stderr" in text and "has been fitting" not in text]


def test_stored_notebook_shows_the_same_kinds_of_output_and_nobodys_folders(executed):
    stored = nbformat.read(NOTEBOOK, as_version=4)
    for kind in ("text/html", "image/png", "text/plain"):
        assert len(outputs(stored, kind)) == len(outputs(executed, kind))
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.findall(r"/(?:home|root|tmp|Users)/", text)


# Runs before all else in the page; opens the network's block, and keeps what went wrong.
WATCH = """<script>
const wrong = [];
addEventListener("error", e => wrong.push(String(e.message || e.target.outerHTML)), true);
addEventListener("unhandledrejection", e => wrong.push(String(e.reason)));
addEventListener("load", () => {
  const block = document.querySelector("details.sklearn-tinymlp-network");
  block.open = true;
  const svg = block.querySelector("svg").getBoundingClientRect();
  const fetched = performance.getEntriesByType("resource").map(e => e.name)
    .filter(name => !name.startsWith("data:"));
  const report = {wrong, fetched, svg: [svg.width, svg.height]};
  document.documentElement.dataset.report = JSON.stringify(report);
});
</script>"""


@pytest.fixture(scope="module")
def page(executed, tmp_path_factory):
    exporter = pytest.importorskip("nbconvert", reason="HTML needs nbconvert").HTMLExporter()
    # Nothing from the network: there are no formulas, widgets or Mermaid diagrams.
    exporter.mathjax_url = exporter.require_js_url = exporter.jquery_url = ""
    exporter.mermaid_js_url = ""
    body, _ = exporter.from_notebook_node(executed)
    body = re.sub(r'<script src="">\s*</script>', "", body)
    path = tmp_path_factory.mktemp("notebook") / "page.html"
    path.write_text(body.replace("<head>", "<head>" + WATCH, 1), encoding="utf-8")
    return path


class Sources(HTMLParser):
    """Collects what a browser would load for a page."""

    def __init__(self):
        super().__init__()
        self.loaded = []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "link" and "href" in attrs:
            self.loaded.append(attrs["href"])
        elif "src" in attrs:
            self.loaded.append(attrs["src"])


def test_page_loads_nothing_from_elsewhere(page):
    sources = Sources()
    sources.feed(page.read_text(encoding="utf-8"))
    assert sources.loaded
    assert all(source.startswith("data:") for source in sources.loaded), sources.loaded


def chromium(folder, *options):
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
        "--disable-background-networking --disable-component-update --disable-sync "
        "--hide-scrollbars --window-size=1000,3600 --virtual-time-budget=5000"
    )
    command = [CHROMIUM, *flags.split(), f"--user-data-dir={folder / 'profile'}", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium to look at the page with")
def test_browser_shows_the_page_without_script_errors(page, tmp_path):
    html = chromium(tmp_path, "--dump-dom", page.as_uri())
    report = re.search(r'data-report="([^"]*)"', html).group(1).replace("&quot;", '"')
    report = json.loads(report)
    assert report["wrong"] == []
    assert report["fetched"] == []
    assert min(report["svg"]) > 100


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium to look at the page with")
def test_screenshot_of_the_page_is_not_blank(page, tmp_path):
    image = pytest.importorskip("PIL.Image", reason="looking at pictures needs Pillow")
    picture = tmp_path / "page.png"
    chromium(tmp_path, f"--screenshot={picture}", page.as_uri())
    with image.open(picture) as opened:
        pixels = np.asarray(opened.convert("RGB"), dtype=float)
    assert pixels.shape == (3600, 1000, 3)
    # Something in every fifth of the page: text, table, two pictures, the network.
    for part in np.array_split(pixels, 5):
        assert (part.min(axis=2) < 128).mean() > 0.002
    blue = (pixels[..., 2] - pixels[..., 0] > 100).any(axis=1)
    assert blue.sum() > 300  # the curves and the band

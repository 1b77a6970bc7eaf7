"""Files around the package agree with it: version, dependencies, addresses, forms, workflows."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import sklearn_tinymlp

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

VERSIONS = {
    "CITATION.cff": r"^version: (.*)$",
    "packaging/conda/meta.yaml": r'set version = "(.*)"',
    "CHANGELOG.md": r"^## (\S+)",
}


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", VERSIONS)
def test_versions_agree(name):
    assert re.search(VERSIONS[name], read(name), re.M).group(1) == sklearn_tinymlp.__version__


def test_the_recipe_asks_for_what_the_package_asks_for():
    recipe = read("packaging/conda/meta.yaml")
    run = recipe.partition("  run:\n")[2].partition("\n\n")[0]
    wanted = {line.strip(" -").replace(" >=", ">=") for line in run.splitlines()}
    assert wanted - {"python>={{ python_min }}"} == set(PROJECT["dependencies"])
    assert f"license: {PROJECT['license']}" in recipe
    assert re.search(r"host:.*?- (hatchling >=\S+)", recipe, re.S).group(1).replace(
        " ", ""
    ) in read("pyproject.toml")


def test_addresses_agree():
    urls = PROJECT["urls"]
    assert {"Homepage", "Documentation", "Source", "Issues", "Changelog"} <= set(urls)
    assert all(urls[name].startswith(urls["Source"]) for name in ("Issues", "Changelog"))
    recipe = read("packaging/conda/meta.yaml")
    assert f"home: {urls['Homepage']}\n" in recipe
    assert f"doc_url: {urls['Documentation']}\n" in recipe
    assert urls["Documentation"] in read("sklearn_tinymlp/_base.py")


def test_read_the_docs_builds_as_contributors_do():
    config = read(".readthedocs.yaml")
    assert "configuration: docs/conf.py" in config and "fail_on_warning: true" in config
    (extra,) = re.search(r"extra_requirements: \[(.*)\]", config).group(1).split(", ")
    assert extra in PROJECT["optional-dependencies"]


FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.stem == "config":
        assert set(form) <= {"blank_issues_enabled", "contact_links"}
        return
    assert form["name"] and form["description"]
    ids = [field["id"] for field in form["body"]]
    assert len(set(ids)) == len(ids)
    assert all(field["attributes"]["label"] for field in form["body"])


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def jobs_of(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert True in workflow  # the key "on", which YAML 1.1 takes for a boolean
    return workflow["jobs"].values()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_documented_commands(path):
    pages = ("README.md", "CONTRIBUTING.md", "docs/contributing.md", ".ci/run")
    documented = "\n".join(map(read, pages)).replace(".venv/bin/", "")
    commands = [step["run"] for job in jobs_of(path) for step in job["steps"] if "run" in step]
    for command in commands:
        assert re.search(rf"(^|[ `\"]){re.escape(command)}($|[ `])", documented, re.M), command


def test_workflows_cover_the_versions_of_python_that_are_declared():
    pattern = r"Programming Language :: Python :: (3\.\d+)"
    declared = re.findall(pattern, "\n".join(PROJECT["classifiers"]))
    assert PROJECT["requires-python"] == f">={declared[0]}"
    tested = set()
    for path in WORKFLOWS:
        for job in jobs_of(path):
            tested.update(job.get("strategy", {}).get("matrix", {}).get("python", ()))
            versions = {step.get("with", {}).get("python-version") for step in job["steps"]}
            assert versions <= {None, "${{ matrix.python }}", *declared}, path.stem
    assert tested == set(declared)


def test_only_the_job_that_publishes_may_write():
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        assert "\npermissions:\n  contents: read\n" in text
        writes = re.findall(r"(\S+): write", text)
        assert writes == (["id-token"] if path.stem == "release" else []), path.stem


# Where GitHub looks for them; README and docs refer to others.
PAGES = ("README.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md")


@pytest.mark.parametrize("page", PAGES)
def test_links_between_files_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", read(page))
    assert all((ROOT / link).exists() for link in links if "://" not in link), links


def test_nobody_is_told_to_install_what_is_not_published():
    # Until the first release `pip install sklearn-tinymlp` is true nowhere.
    if "unreleased" not in read("CHANGELOG.md").splitlines()[2]:
        return
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "install sklearn-tinymlp" in line or "install -c conda-forge" in line:
                assert "published" in line or "release" in line, (path.name, line)

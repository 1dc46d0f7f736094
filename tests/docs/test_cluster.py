"""The scripts and manifests of docs/cluster.md are ones that a shell and Kubernetes can read."""

import subprocess

import pytest
import yaml

from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "cluster.md"
BLOCKS = blocks(PAGE)


@pytest.mark.parametrize("block", [one for one in BLOCKS if one.language in ("sh", "bash")], ids=lambda one: one.line)
def test_scripts_are_good_shell(block):
    checked = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_the_job_asks_for_what_the_page_describes():
    (text,) = [one.text for one in BLOCKS if one.language == "yaml"]
    job = yaml.safe_load(text)
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert "--executor ray:auto" in job["spec"]["entrypoint"]
    cluster = job["spec"]["rayClusterSpec"]
    for template in (cluster["headGroupSpec"]["template"], cluster["workerGroupSpecs"][0]["template"]):
        assert template["spec"]["containers"][0]["image"] == "registry.example.com/simulator:0.1.0"


def test_commands_inside_scripts_and_jobs_parse():
    from simulator.__main__ import build_parser

    found = 0
    for one in BLOCKS:
        text = one.text.replace("\\\n", " ").replace('"ray:$address"', "ray:head:6379").replace("\n    --", " --")
        for line in text.splitlines():
            if "-m simulator " in line:
                words = line.partition("-m simulator ")[2].partition("#")[0].split()
                build_parser().parse_args([word.strip('"') for word in words])
                found += 1
    assert found == 4

"""The software bill of materials of what runs, made from requirements/run.lock and the packages' own metadata.

CycloneDX 1.6 (ECMA-424). The same lock gives the same bytes: no time, no serial number, no path of a machine, and no
address of a registry, because where a package came from says nothing about what it is; its hashes do.
"""

import argparse
import importlib.metadata
import json
import re
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements" / "run.lock"
BILL = ROOT / "requirements" / "sbom.cdx.json"
_LINE = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[^\s;]+)(?: ; (?P<marker>.*?))? \\$")
_HASH = re.compile(r"^    --hash=sha256:(?P<digest>[0-9a-f]{64})(?: \\)?$")
_REQUIRED = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")
SPDX = {
    "MIT License": "MIT",
    "MIT": "MIT",
    "BSD-3-Clause": "BSD-3-Clause",
    "Apache-2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "MPL-2.0": "MPL-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "PSFL": "PSF-2.0",
    "Apache Software License AND MIT License": "Apache-2.0 AND MIT",
}
"""What packages call their licence that do not say it as PEP 639 wants it, and its SPDX expression."""


class Unreadable(Exception):
    """The lock has a line that is no package and no hash, or a package does not tell its licence."""


@dataclass(frozen=True)
class Locked:
    """One package of the lock. `marker` says where it is installed; empty: everywhere."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    @property
    def purl(self) -> str:
        """Return the package URL (ECMA-427)."""
        return f"pkg:pypi/{self.name}@{self.version}"


def canonical(name: str) -> str:
    """Return the one name under which packages are known (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(text: str) -> list[Locked]:
    """Read a lock file. Raises Unreadable for any line that is neither a package nor a hash of one."""
    packages: list[Locked] = []
    for number, line in enumerate(text.splitlines(), 1):
        if found := _LINE.match(line):
            packages.append(Locked(canonical(found["name"]), found["version"], found["marker"] or "", ()))
        elif (found := _HASH.match(line)) and packages:
            last = packages[-1]
            packages[-1] = Locked(last.name, last.version, last.marker, (*last.hashes, found["digest"]))
        else:
            raise Unreadable(f"line {number} of the lock is neither a package nor a hash: {line}")
    return packages


def licence(name: str) -> str:
    """Return the SPDX expression of an installed package's licence. Raises Unreadable when it does not tell."""
    meta = importlib.metadata.metadata(name)
    if "License-Expression" in meta:
        return str(meta["License-Expression"])
    classifiers = meta.get_all("Classifier") or []
    told = [each.split(" :: ")[-1] for each in classifiers if each.startswith("License :: ")]
    for text in (str(meta["License"]).strip() if "License" in meta else "", " AND ".join(told), *told):
        if text in SPDX:
            return SPDX[text]
    raise Unreadable(f"{name} does not tell its licence; look, and add it to SPDX in requirements/sbom.py")


def needs(name: str, among: Iterable[str]) -> list[str]:
    """Return which of the locked packages an installed package asks for."""
    asked = importlib.metadata.requires(name) or []
    found = {canonical(match.group()) for each in asked if (match := _REQUIRED.match(each))}
    return sorted(found & set(among))


def bill() -> dict[str, Any]:
    """Return the bill of materials as it is written."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    packages = sorted(locked(LOCK.read_text("utf-8")), key=lambda each: (each.name, each.version))
    refs: dict[str, list[str]] = {}
    for each in packages:
        refs.setdefault(each.name, []).append(each.purl)
    own = f"pkg:pypi/{project['name']}@{project['version']}"
    direct = {
        canonical(match.group()) for each in project["dependencies"] if (match := _REQUIRED.match(each))
    }
    edges = [{"ref": own, "dependsOn": sorted(ref for name in direct for ref in refs[name])}]
    edges += [
        {"ref": each.purl, "dependsOn": [ref for name in needs(each.name, refs) for ref in refs[name]]}
        for each in packages
    ]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": project["name"],
                "version": project["version"],
                "licenses": [{"license": {"id": project["license"]}}],
                "purl": own,
            }
        },
        "components": [_component(each) for each in packages],
        "dependencies": edges,
    }


def _component(package: Locked) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "licenses": [{"expression": licence(package.name)}],
        "purl": package.purl,
        # One for each file that the lock accepts: wheels for the platforms, and the source.
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in package.hashes],
    }
    if package.marker:
        shown["properties"] = [{"name": "zaicun:marker", "value": package.marker}]
    return shown


def written() -> str:
    """Return the bytes of the bill as a text."""
    return json.dumps(bill(), ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    """Write, check or print the bill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the written bill is fresh")
    parser.add_argument("--show", action="store_true", help="only print it")
    asked = parser.parse_args()
    text = written()
    if asked.show:
        sys.stdout.write(text)
    elif asked.check:
        fresh = BILL.exists() and BILL.read_text("utf-8") == text
        sys.exit(0 if fresh else "requirements/sbom.cdx.json is stale; run bin/sbom")
    else:
        BILL.write_text(text, "utf-8")


if __name__ == "__main__":
    main()

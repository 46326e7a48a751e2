"""Asks whether advisories are known against the installed packages: ``audit.py SITE_PACKAGES SCRATCH``.

pip-audit is installed into an environment of its own. Without a network this is skipped, with the reason; it never
takes longer than a minute. Exit code 0: nothing found, or skipped; 1: a package has an advisory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

SECONDS = 60


def verdict(report: dict[str, Any]) -> tuple[bool, str]:
    """Return whether the build may go on, and what to say.

    A registry that is a mirror may have packages and no advisories: then nothing was audited, which is no pass.
    """
    packages = report["dependencies"]
    unknown = [one["name"] for one in packages if "skip_reason" in one and one["name"] != "vecsearch"]
    known = [one for one in packages if "skip_reason" not in one]
    found = [
        f"{one['name']} {one['version']}: {advisory['id']}, mended in {', '.join(advisory['fix_versions']) or 'none'}"
        for one in known
        for advisory in one["vulns"]
    ]
    if found:
        return False, "\n".join(["advisories are known against:", *found])
    if not known:
        return True, f"skipped: the advisory service answered for none of {len(unknown)} packages"
    said = f"no advisory against {len(known)} packages"
    return True, f"{said}; no answer for {', '.join(unknown)}" if unknown else said


def audited(packages: str, scratch: Path) -> dict[str, Any] | str:
    """Return pip-audit's report, or why there is none."""
    deadline = time.monotonic() + SECONDS
    environment, report = scratch / "audit", scratch / "audit.json"
    venv.create(environment, with_pip=True)
    python = str(environment / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "pip-audit"]
    ask = [python, "-m", "pip_audit", "--path", packages, "--skip-editable", "--progress-spinner", "off"]
    ask += ["--timeout", "10", "--format", "json", "--output", str(report)]
    for command, failed in (
        (install, "pip-audit cannot be installed"),
        (ask, "the advisory service cannot be reached"),
    ):
        try:
            done = subprocess.run(  # noqa: S603 - the command stands above
                command, capture_output=True, text=True, timeout=max(deadline - time.monotonic(), 1), check=False
            )
        except subprocess.TimeoutExpired:
            return f"{failed} within {SECONDS} seconds"
        if done.returncode and not report.exists():
            return f"{failed}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1][:300]}"
    return json.loads(report.read_text("utf-8")) if report.exists() else "pip-audit wrote no report"


def main(packages: str, scratch: str) -> int:
    """Audit, say what was found, and return the exit code."""
    found = audited(packages, Path(scratch))
    may_go_on, said = (True, f"skipped: {found}") if isinstance(found, str) else verdict(found)
    print(said)  # noqa: T201
    return 0 if may_go_on else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

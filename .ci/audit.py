"""Look for known vulnerabilities of all pinned dependencies; fail when one is found.

Where no vulnerability service can be reached it says so, loudly, and does not fail: that is no fault of
the change under test. ``--strict`` fails then too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Audit ``constraints.txt``; return 1 when a dependency is known to be vulnerable."""
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner=off"]
    command += ["--format=json", "--requirement", str(ROOT / "constraints.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    if not done.stdout.strip():
        print(f"NOT AUDITED: {(done.stderr.strip().splitlines() or ['no answer'])[-1]}")
        return int("--strict" in sys.argv)
    found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    unknown = [one["name"] for one in found if "skip_reason" in one]
    vulnerable = [one for one in found if one.get("vulns")]
    for one in vulnerable:
        for flaw in one["vulns"]:
            mended = ", ".join(flaw["fix_versions"]) or "nothing yet"
            print(f"{one['name']} {one['version']}: {flaw['id']}, mended in {mended}")
    audited = len(found) - len(unknown)
    print(f"{audited} of {len(found)} dependencies audited, {len(vulnerable)} with known vulnerabilities")
    if unknown:
        print(f"NOT AUDITED, because no vulnerability service knows them from here: {', '.join(unknown)}")
    return int(bool(vulnerable) or (bool(unknown) and "--strict" in sys.argv))


if __name__ == "__main__":
    sys.exit(main())

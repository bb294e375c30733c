"""The campaign as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gradfix import __version__
from gradfix.migrate.campaign import Campaign
from gradfix.migrate.result import Result, per_code, totals


def document(campaign: Campaign, results: Sequence[Result]) -> dict[str, Any]:
    """The JSON document as plain values; its keys are described in docs/migrate.md."""
    return {
        "version": __version__,
        "campaign": campaign.file.as_posix(),
        "folder": campaign.folder.as_posix(),
        "summary": totals(results),
        "codes": [asdict(count) for count in per_code(results)],
        "repositories": [_repository(result) for result in results],
    }


def as_json(campaign: Campaign, results: Sequence[Result]) -> str:
    """The document as indented JSON, in ASCII so that any terminal encoding carries it."""
    return json.dumps(document(campaign, results), indent=2) + "\n"


def _repository(result: Result) -> dict[str, Any]:
    tests = {
        "command": result.test,
        "after": asdict(result.after) if result.after else None,
        "before": asdict(result.before) if result.before else None,
    }
    return {
        "name": result.name,
        "source": result.source,
        "ref": result.ref,
        "status": result.status,
        "reason": result.reason or None,
        "notes": result.notes,
        "earlier": not result.fresh,
        "base": result.base or None,
        "branch": result.branch or None,
        "commit": result.commit or None,
        "patch": result.patch or None,
        "seconds": round(result.seconds, 3),
        "summary": {
            "files": result.files,
            "changed_files": len(result.changed),
            "fixed": len(result.fixed),
            "findings": len(result.left),
            "errors": len(result.errors),
        },
        "changed_files": result.changed,
        "findings": [*result.fixed, *result.left],
        "errors": result.errors,
        "tests": tests if result.test else None,
    }

"""From a file to settings that can be run, or to every reason why not."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.settings.completion import complete
from gateway.settings.document import MAXIMUM_BYTES, NoText, Unusable, parse_document
from gateway.settings.draft import Draft
from gateway.settings.findings import Finding, SettingsError, SettingsUnreadable, Severity
from gateway.settings.lints import LINTS
from gateway.settings.models import GatewaySettings
from gateway.settings.reading import Place, Reading
from gateway.settings.rules import RULES
from gateway.settings.shapes import Section


@dataclass(frozen=True, slots=True)
class Examination:
    """What there is to say of a file. `settings` is None exactly when a finding is an error.

    `content` is what was read, for whoever has to read the same again.
    """

    settings: GatewaySettings | None
    findings: tuple[Finding, ...]
    content: bytes = field(default=b"", repr=False)


def load(
    path: Path, environ: Mapping[str, str] = os.environ, content: bytes | None = None
) -> GatewaySettings:
    """Read, validate and complete a configuration file, or what it held when it was read before.

    Raises SettingsError with every error that the file has, SettingsUnreadable when it cannot be
    read at all. Warnings keep nothing from starting; `examine` gives them too.
    """
    examination = examine(path, environ, content)
    if examination.settings is None:
        raise SettingsError(
            finding for finding in examination.findings if finding.severity is Severity.ERROR
        )
    return examination.settings


def examine(
    path: Path, environ: Mapping[str, str] = os.environ, content: bytes | None = None
) -> Examination:
    """Read a configuration file and hold it against every rule and lint, all in one go.

    `content` takes the file's place, which then only says where relative paths count from.

    Raises SettingsUnreadable when the file cannot be read at all, or is no text.
    """
    reading = Reading(path, environ)
    if content is None:
        content = _read(path)
    try:
        root = parse_document(content, reading.report)
    except Unusable as unusable:
        reading.report(unusable.mark, (), unusable.problem)
        if isinstance(unusable, NoText):
            raise SettingsUnreadable(reading.findings()) from None
        return Examination(None, reading.findings(), content)
    settings = Section(GatewaySettings).read(root, Place(reading, (), root.mark, root.mark))
    assert isinstance(settings, GatewaySettings)  # noqa: S101 - what the section is of, for mypy
    draft = Draft(settings, root, reading)
    for check in (*RULES, *LINTS):
        check(draft)
    findings = reading.findings()
    if any(finding.severity is Severity.ERROR for finding in findings):
        return Examination(None, findings, content)
    return Examination(complete(settings, reading.folder), findings, content)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MAXIMUM_BYTES + 1)
    except (OSError, ValueError) as error:  # a ValueError is a path that holds a NUL
        why = (error.strerror if isinstance(error, OSError) else None) or "not a path"
        message = (
            f"the file cannot be read ({why.lower()}); "
            "give the path of a configuration file that this user may read"
        )
        raise SettingsUnreadable(
            [Finding(str(path), 1, 1, "", "unreadable-file", message)]
        ) from None

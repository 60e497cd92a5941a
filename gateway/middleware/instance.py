"""The name by which a gateway knows itself in Via: one for all its workers, kept across starts."""

import fcntl
import os
import re
import secrets
from pathlib import Path

_FILE = "instance"
_ID = re.compile(r"[0-9a-f]{12}")


class InstanceUnknown(Exception):  # noqa: N818 - says what the instance is
    """The file that holds the name cannot be used; the text says why, and the mend."""


def own_pseudonym(state_dir: Path) -> str:
    """Give the name that stands in the folder, making one when there is none yet.

    Raises InstanceUnknown.
    """
    file = state_dir / _FILE
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(file, flags, 0o600), "r+", encoding="ascii") as stream:
            # Workers start side by side: the first of them writes, the others wait and read.
            fcntl.flock(stream, fcntl.LOCK_EX)
            text = stream.read(64)
            if not text:
                text = f"{secrets.token_hex(6)}\n"
                stream.write(text)
    except OSError as error:
        raise InstanceUnknown(f"{file}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        text = ""
    if _ID.fullmatch(text.removesuffix("\n")) is None:
        raise InstanceUnknown(f"{file}: it does not hold the name that was made here; remove it")
    return f"gateway-{text.removesuffix(chr(10))}"

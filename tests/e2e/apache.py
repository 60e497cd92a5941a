"""Apache as a WebDAV server and, with git's own CGI program, as a git server."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.programs import Program, free_port, wait_until
from tests.parts.postgresql import unprivileged_owner

_MODULES = Path("/usr/lib/apache2/modules")
_CONFIGURATION = """
ServerName 127.0.0.1
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
Listen 127.0.0.1:{port}
ErrorLog {folder}/error.log
LogLevel warn
{modules}
DocumentRoot {folder}/files
DAVLockDB {folder}/locks
LimitRequestBody 0
<Location /files>
    Dav On
</Location>
Alias /files {folder}/files
ScriptAlias /git {git}/git-http-backend
ScriptSock {folder}/cgi.sock
SetEnv GIT_PROJECT_ROOT {folder}/repositories
SetEnv GIT_HTTP_EXPORT_ALL
# Who may push is the gateway's to know; git's program asks only whether anybody is signed in.
SetEnvIf Request_URI "^/git/" REMOTE_USER=guarded
<Directory />
    Require all granted
</Directory>
"""

# To compress random bytes, or to look for what they have in common, takes git long for nothing.
PACKING = ("core.compression", "pack.window")


@dataclass(frozen=True)
class Apache:
    """A running Apache: `url`, and where its files and its git repositories lie."""

    url: str
    files: Path
    repositories: Path


@contextmanager
def running_apache(program: Path, git: Path) -> Iterator[Apache]:
    """Runs Apache until the block ends, with one empty git repository, `big.git`."""
    folder = Path(tempfile.mkdtemp(prefix="apache-"))
    try:
        for name in ("files", "repositories"):
            (folder / name).mkdir()
        repository = folder / "repositories" / "big.git"
        subprocess.run([git, "init", "--quiet", "--bare", repository], check=True)
        for name in PACKING:
            subprocess.run([git, "-C", repository, "config", name, "0"], check=True)
        _give_away(folder)
        port = free_port()
        configuration = folder / "apache.conf"
        configuration.write_text(_write_configuration(folder, port, git), encoding="utf-8")
        running = Program(
            [program, "-f", configuration, "-DFOREGROUND"],
            folder / "apache.out",
            **unprivileged_owner(),
            cwd=folder,
        )
        try:
            wait_until(
                lambda: (folder / "apache.pid").exists() or running.process.poll() is not None,
                what="Apache starts",
            )
            assert running.process.poll() is None, (folder / "error.log").read_text()
            yield Apache(f"http://127.0.0.1:{port}", folder / "files", folder / "repositories")
        finally:
            running.stop()
    finally:
        shutil.rmtree(folder)


def _write_configuration(folder: Path, port: int, git: Path) -> str:
    names = ("mpm_event", "authz_core", "alias", "dav", "dav_fs", "cgid", "env", "setenvif")
    modules = "\n".join(f"LoadModule {name}_module {_MODULES}/mod_{name}.so" for name in names)
    core = subprocess.run([git, "--exec-path"], capture_output=True, text=True, check=True)
    return _CONFIGURATION.format(folder=folder, port=port, modules=modules, git=core.stdout.strip())


def _give_away(folder: Path) -> None:
    """Give all of it to the user that Apache runs as: it refuses to serve as root."""
    owner = unprivileged_owner()
    if owner:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, owner["user"], owner["group"])

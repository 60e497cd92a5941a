"""What is shipped: the wheel, the image, the deployment examples, the locks."""

import grp
import http.client
import http.server
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
import yaml

import gateway
from tests.e2e.programs import embedded_server, running_gateway

ROOT = Path(__file__).parents[1]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_has_the_whole_package_and_nothing_else(wheel):
    """Migrations and the type marker included; tests, benchmarks and configuration not."""
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "gateway").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped == package
    assert "gateway/py.typed" in shipped
    assert any(
        re.fullmatch(r"gateway/authserver/storage/migrations/versions/v\w+\.py", name)
        for name in shipped
    )


def test_the_wheel_says_what_it_is(wheel):
    """Its version is the package's own, its licence is in it, its command is `gateway`."""
    files = zipfile.ZipFile(wheel)
    folder = f"gateway-{gateway.__version__}.dist-info"
    metadata = files.read(f"{folder}/METADATA").decode()
    assert f"\nVersion: {gateway.__version__}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "Apache License" in files.read(f"{folder}/licenses/LICENSE").decode()
    assert "gateway = gateway.cli.main:main" in files.read(f"{folder}/entry_points.txt").decode()


class Legacy(http.server.BaseHTTPRequestHandler):
    """A service that answers who asked, as the gateway tells it."""

    def do_GET(self):
        body = f"asked by {self.headers['X-Auth-Client-Id']}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def legacy():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Legacy)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def open_folder():
    """A folder that every user can reach: pytest's own are for the user who runs it."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-packaging-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def public_python():
    """Gives a Python that an unprivileged user may run, too."""
    for candidate in (getattr(sys, "_base_executable", sys.executable), "/usr/bin/python3"):
        program = Path(candidate).resolve()
        if all(folder.stat().st_mode & 0o001 for folder in program.parents):
            return program
    pytest.fail("no Python that everyone may run: apt-get install python3 python3-venv")


def unprivileged():
    """Gives how to start a process as nobody, when this is root; as oneself otherwise."""
    if os.geteuid() != 0:
        return {}
    return {
        "user": pwd.getpwnam("nobody").pw_uid,
        "group": grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_gid,
        "extra_groups": [],
    }


def test_the_installed_wheel_runs_as_an_unprivileged_user_from_the_root_folder(
    wheel, legacy, open_folder
):
    """By the lock into an empty environment; no source, no home, `/` as the working directory."""
    environment = open_folder / "venv"
    python = environment / "bin" / "python"

    def run(*command):
        subprocess.run([str(word) for word in command], check=True, umask=0o022, cwd="/")

    run(public_python(), "-I", "-m", "venv", environment)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install += ["--root-user-action=ignore", "--only-binary", ":all:"]
    run(*install, "--require-hashes", "-r", ROOT / "requirements" / "run.txt")
    run(*install, "--no-deps", wheel)
    run(python, "-m", "pip", "--disable-pip-version-check", "check")

    folder = open_folder / "configuration"
    folder.mkdir()
    state = open_folder / "state"
    state.mkdir(mode=0o700)
    user = unprivileged()
    if user:
        os.chown(state, user["user"], user["group"])
    settings = {
        "state_dir": str(state),
        "authorization_servers": {"local": embedded_server({"a:read": "Read"})},
        "upstreams": {"legacy": {"servers": [legacy]}},
        "routes": [{"name": "a", "match": {"path": "/**"}, "require": {"scopes": ["a:read"]}}],
    }
    with running_gateway(
        settings,
        folder,
        executable=environment / "bin" / "gateway",
        environment={"PATH": os.defpath},
        cwd="/",
        umask=0o022,
        **user,
    ) as running:
        if user:
            assert Path(f"/proc/{running.pid}").stat().st_uid == user["user"]
        ready = requests.get(f"{running.admin_url}/readyz", timeout=10)
        assert (ready.status_code, ready.text) == (200, "ready\n")
        assert requests.get(f"{running.url}/", timeout=10).status_code == 401

        done = running.command(
            "client", "add", "me", "--grant", "client_credentials", "--scope", "a:read", "--json",
            cwd="/", **user,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        answer = requests.post(
            f"{running.authorization_server_url}/oauth2/token",
            data={"grant_type": "client_credentials"},
            auth=("me", json.loads(done.stdout)["client_secret"]),
            timeout=10,
        )
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        answer = requests.get(f"{running.url}/", headers=bearer, timeout=10)
        assert (answer.status_code, answer.text) == (200, "asked by me\n")

        assert running.program.stop() == 0, running.program.text()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_locks_have_hashes_and_no_registry(lock):
    """Every requirement is one version with its hashes; where from is the installer's to say."""
    text = lock.read_text(encoding="utf-8")
    requirements = re.findall(r"(?m)^[a-z0-9].*(?:\n    .*)*", text)
    assert requirements
    for requirement in requirements:
        assert re.match(r"[a-z0-9._-]+==\S+ \\\n +--hash=sha256:[0-9a-f]{64}", requirement)
    assert "://" not in text
    assert not re.search(r"(?m)^ *(-i|-f|--index|--extra|--find|--trusted)", text)


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("run", PYPROJECT["project"]["dependencies"]),
        ("dev", PYPROJECT["project"]["dependencies"]),
        *[
            (group, PYPROJECT["dependency-groups"][group])
            for group in ("build", "lock", "httpbin", "postgresql", "nodejs", "envoy", "py-spy")
        ],
        ("dev", PYPROJECT["dependency-groups"]["test"] + PYPROJECT["dependency-groups"]["check"]),
    ],
)
def test_locks_have_what_the_project_asks_for(lock, wanted):
    """A dependency that was added without `make lock` is found here, not on somebody's machine."""
    from packaging.requirements import Requirement

    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    locked = dict(re.findall(r"(?m)^([a-z0-9._-]+)==(\S+)", text))
    for line in wanted:
        requirement = Requirement(line)
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name in locked, f"{line} is not in requirements/{lock}.txt: make lock"
        assert requirement.specifier.contains(locked[name]), f"{line}: make lock"


@pytest.fixture(scope="module")
def stages():
    """The Dockerfile's stages: each a list of (instruction, the rest of it)."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ").splitlines()
    instructions = [
        (line.split(None, 1)[0], " ".join(line.split(None, 1)[1].split()))
        for line in lines
        if line.strip()
    ]
    found = []
    for instruction, rest in instructions:
        if instruction == "FROM":
            found.append([])
        if found:
            found[-1].append((instruction, rest))
    return found


def test_the_image_is_built_in_stages_and_keeps_no_build_tool(stages):
    """What the last stage has of the first is the environment, and nothing is installed there."""
    assert len(stages) == 2
    last = stages[-1]
    assert [rest for name, rest in last if name == "COPY"] == [
        "--from=build /opt/gateway /opt/gateway"
    ]
    run = " ".join(rest for name, rest in last if name == "RUN")
    assert "uninstall" in run
    assert not re.search(r"\b(apt|apt-get|pip install|gcc|make|hatchling)\b", run)


def test_the_image_installs_by_the_lock(stages):
    installs = re.findall(r"pip install [^&]*", " ".join(rest for _, rest in stages[0]))
    assert len(installs) == 3
    for command in installs:
        assert "--require-hashes" in command or "--no-deps /tmp/wheel/" in command


def test_the_image_runs_as_a_numbered_user_and_says_how_it_is(stages):
    last = dict(stages[-1])
    user, _, group = last["USER"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(last["ENTRYPOINT"]) == ["gateway"]
    assert json.loads(last["CMD"])[0] == "run"
    assert "org.opencontainers.image.licenses" in last["LABEL"]


def test_the_images_health_check_tells_ready_from_not(stages):
    """Its program, run as it stands, against a server that is ready and against none."""
    check = json.loads(dict(stages[-1])["HEALTHCHECK"].partition("CMD ")[2])
    assert check[:2] == ["python", "-c"]

    def succeeds(port):
        program = check[2].replace("9090", str(port))
        done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
        return done.returncode == 0

    class Readiness(http.server.BaseHTTPRequestHandler):
        status = 200

        def do_GET(self):
            self.send_response(self.status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Readiness)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    assert succeeds(server.server_port)
    Readiness.status = 503
    assert not succeeds(server.server_port)
    server.shutdown()
    server.server_close()
    thread.join()
    assert not succeeds(server.server_port)


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))


def test_compose_gives_the_gateway_no_more_than_it_needs(compose):
    service = compose["services"]["gateway"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "/var/lib/gateway" in {volume.split(":")[1] for volume in service["volumes"]}


def test_compose_publishes_on_loopback_only_and_the_legacy_service_not_at_all(compose):
    for service in compose["services"].values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")
    legacy = compose["services"]["legacy"]
    assert "ports" not in legacy
    assert legacy["networks"] == ["back"]
    assert compose["networks"]["back"] == {"internal": True}


def test_compose_mounts_files_that_are_there(compose):
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            if volume.startswith("."):
                assert (ROOT / "deploy" / volume.split(":")[0]).is_file()


def test_compose_names_images_without_a_registry(compose):
    for service in compose["services"].values():
        first, slash, _ = service["image"].partition("/")
        assert not slash or not re.search(r"[.:]", first)


def test_composes_version_is_the_packages(compose):
    assert compose["services"]["gateway"]["image"] == f"gateway:{gateway.__version__}"


def test_the_deployed_configuration_has_nothing_to_mend(compose):
    """And it fits compose.yaml: the ports that are published, the service that is named there."""
    path = ROOT / "deploy" / "gateway.yaml"
    command = [str(Path(sys.executable).parent / "gateway"), "check", str(path), "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, json.loads(done.stdout)) == (0, []), done.stderr

    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    embedded = settings["authorization_servers"]["local"]["embedded"]
    published = {port.split(":")[2] for port in compose["services"]["gateway"]["ports"]}
    for address in (settings["listen"], embedded["listen"]):
        assert address.rpartition(":")[2] in published
    assert settings["admin_listen"] == "127.0.0.1:9090", "where the image's health check asks"
    (server,) = settings["upstreams"]["legacy"]["servers"]
    assert urlsplit(server).hostname in compose["services"]
    assert settings["state_dir"] == "/var/lib/gateway"


def test_alerts_ask_for_metrics_that_there_are():
    """Each name in an alert's expression is one that the gateway exposes, or Prometheus's own."""
    alerts = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    asked = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for name in re.findall(r"\bgateway_[a-z_]+", alerts)
    }
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "gateway").rglob("*.py"))
    assert asked
    assert asked <= set(re.findall(r'"(gateway_[a-z_]+)"', source))
    reasons = set(re.findall(r"(?<=[\"|])[a-z]+(?:_[a-z]+)+(?=[\"|])", alerts))
    table = (ROOT / "gateway" / "policy" / "rejection.py").read_text(encoding="utf-8")
    assert reasons
    assert reasons <= set(re.findall(r'= "([a-z_]+)"', table))


def test_the_unit_runs_unprivileged_and_stops_gently():
    unit = (ROOT / "deploy" / "systemd" / "gateway.service").read_text(encoding="utf-8")
    settings = dict(re.findall(r"(?m)^(\w+)=(.*)$", unit))
    assert settings["DynamicUser"] == "yes"
    assert settings["NoNewPrivileges"] == "yes"
    assert settings["ProtectSystem"] == "strict"
    assert settings["CapabilityBoundingSet"] == ""
    assert settings["KillSignal"] == "SIGTERM"
    assert int(settings["TimeoutStopSec"]) > 30

"""The proxies under test, each started on the core that they take turns on.

Their configurations lie in peers/, complete but for the words in @these@.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.processes import free_ports, running
from tests.parts.get import locate

PROXY_CORE, OTHER_CORE = 0, 1
PEERS = Path(__file__).parent / "peers"
APACHE_MODULES = Path("/usr/lib/apache2/modules")
GATEWAY = Path(sys.executable).parent / "gateway"

Words = Mapping[str, object]
"""What stands for the words in @these@."""

Start = Callable[[ExitStack, Path, Words], int]
"""Starts a program in a new folder until the stack is closed, and gives its process id."""


def filled(template: str, words: Words) -> str:
    """Gives a peer's configuration with the benchmark's words in it."""
    text = (PEERS / template).read_text(encoding="utf-8")
    for name, value in words.items():
        text = text.replace(f"@{name}@", str(value))
    return text


@contextmanager
def running_nginx(folder: Path, core: int, location: str) -> Iterator[tuple[int, int]]:
    """Runs an nginx that does what `location` says, and gives its process id and its port."""
    folder.mkdir()
    (port,) = free_ports(1)
    words = {"folder": folder, "port": port, "location": location}
    (folder / "nginx.conf").write_text(filled("nginx/one_location.conf", words), encoding="utf-8")
    command = [locate("nginx"), "-p", folder, "-c", folder / "nginx.conf"]
    with running(command, core, folder / "output", [port]) as process:
        yield process.pid, port


def start_nginx(stack: ExitStack, folder: Path, words: Words) -> int:
    """Starts nginx with auth_request, and gives its process id."""
    folder.mkdir()
    words = {**words, "folder": folder, "introspect": folder / "introspect.conf"}
    (folder / "introspect.conf").write_text(filled("nginx/introspect.conf", words))
    (folder / "nginx.conf").write_text(filled("nginx/guard.conf", words))
    command = [locate("nginx"), "-p", folder, "-c", folder / "nginx.conf"]
    ready = [int(str(words["logging_port"]))]
    return stack.enter_context(running(command, PROXY_CORE, folder / "output", ready)).pid


def start_decision_service(stack: ExitStack, folder: Path, words: Words) -> int:
    """Starts what proxies ask that do not introspect themselves, and gives its process id."""
    folder.mkdir()
    (folder / "nginx.conf").write_text(filled("nginx/decision.conf", {**words, "folder": folder}))
    command = [locate("nginx"), "-p", folder, "-c", folder / "nginx.conf"]
    ready = [int(str(words["port"]))]
    return stack.enter_context(running(command, OTHER_CORE, folder / "output", ready)).pid


def start_apache(stack: ExitStack, folder: Path, words: Words) -> int:
    """Starts Apache with mod_auth_openidc, and gives its process id."""
    locate("mod_auth_openidc")
    words = {**words, "modules": APACHE_MODULES}
    configuration = _configure("apache/guard.conf", folder, words)
    command = [locate("apache2"), "-f", configuration, "-DFOREGROUND"]
    return _start(stack, command, words, folder)


def start_envoy(stack: ExitStack, folder: Path, words: Words) -> int:
    """Starts Envoy with ext_authz and one worker thread, and gives its process id."""
    configuration = _configure("envoy/guard.yaml", folder, words)
    command = [locate("envoy"), "-c", configuration, "--concurrency", "1"]
    command += ["--disable-hot-restart", "--log-level", "warning"]
    return _start(stack, command, words, folder)


def start_haproxy(stack: ExitStack, folder: Path, words: Words) -> int:
    """Starts HAProxy with one thread and our Lua script, and gives its process id."""
    configuration = _configure("haproxy/haproxy.cfg", folder, words)
    script = filled("haproxy/introspect.lua", {**words, "folder": folder})
    (folder / "introspect.lua").write_text(script, encoding="utf-8")
    return _start(stack, [locate("haproxy"), "-f", configuration], words, folder)


def start_caddy(stack: ExitStack, folder: Path, words: Words) -> int:
    """Starts Caddy with forward_auth, and gives its process id."""
    configuration = _configure("caddy/Caddyfile", folder, words)
    # It keeps what it knows in its user's home, and takes as many threads as it has cores.
    command = ["env", f"HOME={folder}", f"XDG_DATA_HOME={folder}", f"XDG_CONFIG_HOME={folder}"]
    command += [locate("caddy"), "run", "--config", configuration, "--adapter", "caddyfile"]
    return _start(stack, command, words, folder)


def start_gateway(
    stack: ExitStack, folder: Path, settings: Mapping[str, object], secret: str, port: int
) -> int:
    """Starts a gateway with those settings, and gives its process id."""
    folder.mkdir()
    # JSON is YAML: what is quoted here cannot be misread there.
    (folder / "gateway.yaml").write_text(json.dumps(settings, indent=2))
    command = ["env", f"GUARD_SECRET={secret}", GATEWAY, "run", "-c", folder / "gateway.yaml"]
    process = stack.enter_context(running(command, PROXY_CORE, folder / "output", [port]))
    return process.pid


def _configure(template: str, folder: Path, words: Words) -> Path:
    folder.mkdir()
    path = folder / Path(template).name
    path.write_text(filled(template, {**words, "folder": folder}), encoding="utf-8")
    return path


def _start(stack: ExitStack, command: list[str | Path], words: Words, folder: Path) -> int:
    ready = [int(str(words["port"]))]
    return stack.enter_context(running(command, PROXY_CORE, folder / "output", ready)).pid

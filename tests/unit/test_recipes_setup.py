"""The set-up that `make` does on a fresh machine: .ci/*, played with stand-ins for the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SETUP = REPOSITORY / ".ci"


def run(
    *command: str | Path, cwd: Path | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=os.environ | environ, cwd=cwd, capture_output=True, text=True, check=False
    )


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A PATH with the commands a shell script needs, and nothing else."""
    path = tmp_path / "bin"
    path.mkdir()
    for name in ("sh", "dirname", "id", "env", "mktemp", "rm", "cat"):
        (path / name).symlink_to(shutil.which(name) or "")
    return path


class TestNeed:
    def test_is_silent_when_nothing_is_missing(self) -> None:
        done = run(SETUP / "need", "why", "sh", "cat:coreutils", "/etc/passwd:base-passwd")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_names_the_packages_and_the_reason_and_installs_only_what_is_missing(
        self, bare: Path
    ) -> None:
        script(bare / "apt-get", 'echo "$@" >>"$0.log"\n')
        script(bare / "sudo", 'shift; exec "$@"\n')
        done = run(
            SETUP / "need", "to fly", "sh", "no-such-wing:wing", "/no/file:feather", PATH=str(bare)
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == "==> apt-get install wing feather   (to fly)\n"
        called = (bare / "apt-get.log").read_text()
        assert called == "install -y -qq --no-install-recommends wing feather\n"

    def test_fetches_new_lists_when_the_old_ones_do_not_do(self, bare: Path) -> None:
        script(bare / "sudo", 'shift; exec "$@"\n')
        script(
            bare / "apt-get",
            'echo "$1" >>"$0.log"; [ "$1" = update ] && : >"$0.new"; [ -e "$0.new" ]\n',
        )
        assert run(SETUP / "need", "why", "no-such-wing", PATH=str(bare)).returncode == 0
        assert (bare / "apt-get.log").read_text() == "install\nupdate\ninstall\n"

    def test_shows_what_apt_said_when_it_fails(self, bare: Path) -> None:
        script(bare / "sudo", 'shift; exec "$@"\n')
        script(bare / "apt-get", "echo 'E: Unable to locate package'; exit 100\n")
        done = run(SETUP / "need", "why", "no-such-wing", PATH=str(bare))
        assert done.returncode == 1
        assert "E: Unable to locate package\nerror: apt-get could not install:" in done.stderr

    def test_without_apt_it_says_what_to_install_by_hand(self, bare: Path) -> None:
        done = run(SETUP / "need", "why", "no-such-wing:wing", PATH=str(bare))
        assert done.returncode == 1
        assert done.stderr.endswith(
            "error: there is no apt-get here; install by hand what gives: wing\n"
        )


class TestPython:
    def test_takes_the_first_that_runs_and_is_new_enough(self, bare: Path) -> None:
        script(bare / "python3", "exit 1\n")  # too old
        script(bare / "python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127\n")
        script(bare / "python3.12", f'exec "{sys.executable}" "$@"\n')
        found = run(SETUP / "python", PATH=str(bare))
        assert (found.stdout, found.stderr) == (sys.executable + "\n", "")

    def test_says_what_is_wrong_when_there_is_none(self, bare: Path) -> None:
        script(bare / "python3", '[ "$1" = -V ] && echo Python 3.9.2 && exit; exit 1\n')
        found = run(SETUP / "python", PATH=str(bare))
        assert found.returncode == 1
        assert "error: minidock needs Python 3.11 or newer; python3 here is Python 3.9.2." in (
            found.stderr
        )


class TestLauncher:
    @pytest.fixture
    def package(self, tmp_path: Path) -> Path:
        """A directory with a minidock in it that tells how it was started."""
        folder = tmp_path / "it's \\ a directory"
        (folder / "minidock" / "cli").mkdir(parents=True)
        (folder / "minidock" / "cli" / "main.py").write_text(
            "import sys\n"
            "def entry():\n"
            "    flags = sys.flags.isolated, sys.flags.no_site\n"
            "    print(*flags, 'site' in sys.modules, sys.argv[1:])\n"
            "    sys.exit(7)\n"
        )
        return folder

    def start(self, python: str | Path, package: Path) -> subprocess.CompletedProcess[str]:
        launcher = package / "minidock-launcher"
        launcher.write_text(run(SETUP / "launcher", "minidock.cli.main", python, package).stdout)
        launcher.chmod(0o755)
        return run(launcher, "a b", "-c", PYTHONPATH="/nonsense", PYTHONHOME="/nonsense")

    def test_starts_python_isolated_and_without_site(self, package: Path) -> None:
        started = self.start(sys.executable, package)
        assert started.stdout == "1 1 False ['a b', '-c']\n", started.stderr
        assert started.returncode == 7

    def test_names_the_real_interpreter_not_the_environments_link(self, package: Path) -> None:
        real = os.path.realpath(sys.executable)
        assert run(
            SETUP / "launcher", "minidock.cli.main", sys.executable, package
        ).stdout.startswith(f"#!{real} -IS\n")

    def test_a_path_that_a_hash_bang_cannot_hold_goes_through_sh(
        self, package: Path, tmp_path: Path
    ) -> None:
        odd = tmp_path / "with a space" / "python"
        # Stands for a Python whose real path has a space in it, and asks the true one.
        script(
            odd,
            f'case $2 in *_base_executable*) echo "{odd}"; exit ;; esac\n'
            f'exec "{sys.executable}" "$@"\n',
        )
        started = self.start(odd, package)
        launcher = (package / "minidock-launcher").read_text()
        assert launcher.startswith("#!/bin/sh\n'''exec' '" + str(odd))
        assert started.stdout == "1 1 False ['a b', '-c']\n", started.stderr


class TestBaseImage:
    @pytest.fixture
    def checkout(self, tmp_path: Path) -> Path:
        """A checkout whose recipes and whose minidock are stand-ins; the store is a directory."""
        root = tmp_path / "a checkout"
        (root / "store").mkdir(parents=True)
        (root / ".ci").mkdir()
        shutil.copy(SETUP / "base-image", root / ".ci")
        shutil.copy(REPOSITORY / "Makefile", root)
        script(root / ".ci" / "root", 'exec "$@"\n')
        script(
            root / "minidock",
            'case "$1 $2" in\n'
            '"image inspect") [ -e "store/$3" ] ;;\n'
            '"import -c") cp "$4" "store/$5"; echo sha256:0 ;;\n'
            "esac\n",
        )
        for name in ("bootstrap", "pack"):
            script(root / "rootfs" / name, "")
        script(root / "rootfs" / "debian", "echo debian >rootfs/debian.tar\n")
        return root

    def ask(self, checkout: Path) -> subprocess.CompletedProcess[str]:
        return run(checkout / ".ci" / "base-image", "./minidock", cwd=checkout)

    def test_imports_ubuntu_where_it_can_be_had(self, checkout: Path) -> None:
        script(checkout / "rootfs" / "ubuntu", "echo ubuntu >rootfs/ubuntu.tar\n")
        answer = self.ask(checkout)
        assert (answer.returncode, answer.stdout) == (0, "ubuntu\n")
        assert (checkout / "store" / "ubuntu").read_text() == "ubuntu\n"

    def test_goes_on_with_debian_under_its_own_name_and_says_so(self, checkout: Path) -> None:
        script(checkout / "rootfs" / "ubuntu", "echo cannot be reached >&2; exit 3\n")
        answer = self.ask(checkout)
        assert (answer.returncode, answer.stdout) == (0, "debian\n")
        assert "cannot be reached" in answer.stderr
        assert "going on with debian" in answer.stderr
        assert [path.name for path in (checkout / "store").iterdir()] == ["debian"]

    def test_makes_nothing_when_an_image_is_there(self, checkout: Path) -> None:
        script(checkout / "rootfs" / "ubuntu", "exit 3\n")
        (checkout / "store" / "debian").touch()
        answer = self.ask(checkout)
        assert answer.stdout == "debian\n"
        assert answer.stderr == "==> there is no image ubuntu here: going on with debian\n"
        assert not (checkout / "rootfs" / "debian.tar").exists()

    def test_fails_when_neither_can_be_made(self, checkout: Path) -> None:
        script(checkout / "rootfs" / "ubuntu", "exit 3\n")
        script(checkout / "rootfs" / "debian", "exit 1\n")
        answer = self.ask(checkout)
        assert (answer.returncode, answer.stdout) == (1, "")


class TestClean:
    @pytest.fixture
    def checkout(self, tmp_path: Path) -> Path:
        """A checkout where things were made, with a state root beside it and a false minidock."""
        root = tmp_path / "a checkout"
        for folder in (".ci", "minidock/cli/__pycache__", "tests", "rootfs", ".mypy_cache"):
            (root / folder).mkdir(parents=True)
        shutil.copy(SETUP / "clean", root / ".ci")
        # The cgroups are the real ones.
        script(root / ".ci" / "root", '[ "$1" = rmdir ] || exec "$@"\n')
        (root / ".venv").mkdir()
        (root / ".venv" / "made-for").touch()
        script(
            root / ".venv" / "bin" / "minidock",
            'ls -d "$MINIDOCK_ROOT" >/dev/null && echo "$@" >>"$MINIDOCK_ROOT.log"\n'
            'case "$1 $2" in "ps -aq") echo c1; echo c2 ;; "images -q") echo i1 ;; esac\n',
        )
        for name in ("minidock/cli/main.py", "rootfs/debian", "rootfs/debian.tar", "README.md"):
            (root / name).touch()
        (tmp_path / "state" / "containers").mkdir(parents=True)
        return root

    def clean(self, checkout: Path, answer: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run it without a terminal, or with one on which `answer` is typed."""
        environ = os.environ | {
            "MINIDOCK_ROOT": str(checkout.parent / "state"),
            "MINIDOCK_RUN_ROOT": str(checkout.parent / "run"),
            "YES": "",
        }
        keyboard, terminal = os.openpty()
        os.write(keyboard, (answer or "").encode())
        try:
            return subprocess.run(
                [checkout / ".ci" / "clean", ".venv"],
                env=environ,
                stdin=terminal if answer else subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            os.close(keyboard)
            os.close(terminal)

    def test_stops_the_containers_and_leaves_only_the_source(self, checkout: Path) -> None:
        cleaned = self.clean(checkout)
        assert cleaned.returncode == 0, cleaned.stderr
        assert (checkout.parent / "state.log").read_text().endswith("\nrm -f c1 c2\n")
        assert not (checkout.parent / "state").exists()
        left = {str(p.relative_to(checkout)) for p in checkout.rglob("*") if p.is_file()}
        source = {"minidock/cli/main.py", "rootfs/debian", "README.md", ".ci/clean", ".ci/root"}
        assert left == source
        assert not (checkout / "minidock/cli/__pycache__").exists()

    def test_has_nothing_to_do_the_second_time(self, checkout: Path) -> None:
        self.clean(checkout)
        again = self.clean(checkout)
        assert (again.returncode, again.stderr) == (0, "==> nothing to clean\n")

    def test_asks_first_where_there_is_somebody_to_ask(self, checkout: Path) -> None:
        refused = self.clean(checkout, answer="n\n")
        assert refused.returncode == 1
        assert ": containers 2, images 1\n" in refused.stderr
        assert "    rootfs/debian.tar\n" in refused.stderr
        assert (checkout / "rootfs/debian.tar").exists()
        assert (checkout.parent / "state").exists()
        assert self.clean(checkout, answer="y\n").returncode == 0
        assert not (checkout.parent / "state").exists()


def test_help_lists_every_target_that_is_meant_to_be_typed() -> None:
    listed = run("make", "help", cwd=REPOSITORY).stdout
    for target in ("run", "test", "check", "bench", "install", "uninstall", "clean"):
        assert f"  make {target} " in listed

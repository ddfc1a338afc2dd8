"""Whose rights the embedded servers have, and which files that account may touch.

PostgreSQL refuses to run as root. When we are root, both servers run as the system account that the
PostgreSQL wheel would use; otherwise they run as we do. The wheel's own code for this is not called: it opens
every folder above for reading, root's home too, and importing it warns where XDG_RUNTIME_DIR is not set.
"""

import logging
import os
import pwd
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ACCOUNT_NAME = "pgserver"

_log = logging.getLogger(__name__)


class EmbeddedServerError(Exception):
    """An embedded server could not be started or stopped; the text says why and quotes its log."""


class NoServerAccountError(EmbeddedServerError):
    """The account that the embedded servers would run as is missing and could not be made."""


class ForeignFolderError(EmbeddedServerError):
    """A folder the embedded servers would use belongs to somebody else."""


@dataclass(frozen=True)
class ServerAccount:
    """A system account that servers run as."""

    name: str
    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Hand a file or folder that we made to this account."""
        if os.geteuid() != self.uid:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def make_folder(self, path: Path) -> None:
        """Make `path`, or keep it, as a folder that nobody but this account (and root) can enter.

        Raises:
            ForeignFolderError: something at `path` was put there by another account.
        """
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
        # Below /tmp a stranger may have been first, with a link to a folder that we would then give away.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {self.uid, os.geteuid()}:
            raise ForeignFolderError(f"{path} does not belong to the account {self.name}")
        self.own(path)
        self.allow_reaching(path)

    def write_file(self, path: Path, text: str) -> None:
        """Write a file, whole or not at all, that this account can read and others cannot."""
        new = path.with_name(f"{path.name}.new")
        new.touch(mode=0o600)
        new.write_text(text, encoding="utf-8")
        self.own(new)
        new.replace(path)

    def allow_reaching(self, path: Path) -> None:
        """Let this account pass through the folders above `path`: search rights only, never listing.

        Needed only where we are root and work below a closed folder such as root's home.
        """
        if os.geteuid() == self.uid:
            return
        for folder in path.resolve().parents:
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH and folder.stat().st_uid != self.uid:
                _log.warning("account %s is now allowed to pass through %s", self.name, folder)
                folder.chmod(mode | stat.S_IXOTH)

    def allow_running(self, installed: Path) -> None:
        """Let this account use what is installed at a path, should the installer's umask have closed it."""
        if os.geteuid() == self.uid or not installed.exists():
            return
        self.allow_reaching(installed)
        if not installed.stat().st_mode & stat.S_IXOTH:
            # The top comes last: an interrupted round is seen by it, and done again.
            for path in (*installed.rglob("*"), installed):
                path.chmod(path.stat().st_mode | stat.S_IROTH | stat.S_IXOTH)


def server_account() -> ServerAccount:
    """The account to run servers as: ourselves, or the system account made for it when we are root.

    Raises:
        NoServerAccountError: when we are root and the account cannot be made.
    """
    if os.geteuid() != 0:
        return our_account()
    entry = _entry(ACCOUNT_NAME) or _make_account(ACCOUNT_NAME)
    return ServerAccount(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _entry(name: str) -> pwd.struct_passwd | None:
    with suppress(KeyError):
        return pwd.getpwnam(name)
    return None


def _make_account(name: str) -> pwd.struct_passwd:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name]
    try:
        made = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - our own words
        complaint = made.stderr.strip()
    except OSError as error:
        complaint = str(error)
    # Another start may have made it in the same moment, so what counts is whether it is there now.
    if (entry := _entry(name)) is None:
        raise NoServerAccountError(
            f"PostgreSQL does not run as root, and an account for it could not be made ({complaint}):"
            f" start as another user, or make the account {name}"
        )
    return entry


def our_account() -> ServerAccount:
    """The account of this process.

    Raises:
        NoServerAccountError: our user id has no name, and PostgreSQL goes by names.
    """
    uid = os.geteuid()
    try:
        return ServerAccount(pwd.getpwuid(uid).pw_name, uid, os.getegid())
    except KeyError:
        raise NoServerAccountError(f"PostgreSQL needs a named account; user id {uid} has no name") from None

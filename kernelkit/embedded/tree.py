"""The files of a small image, from plain values to a tar: sorted, owned by root, and to the byte the same every time.

Pure: nothing is read from or written to the disk.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence

# The accounts that Docker's busybox image has (passwd(5): name, number, group, home, shell).
PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
sync:x:4:100:sync:/bin:/bin/sync
mail:x:8:8:mail:/var/spool/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
operator:x:37:37:Operator:/var:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
"""

GROUP = """\
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
lp:x:7:
mail:x:8:
kmem:x:9:
wheel:x:10:root
cdrom:x:11:
dialout:x:18:
floppy:x:19:
video:x:28:
audio:x:29:
tape:x:32:
www-data:x:33:
operator:x:37:
utmp:x:43:
plugdev:x:46:
staff:x:50:
lock:x:54:
netdev:x:82:
users:x:100:
nobody:x:65534:
"""

# No password opens any account (shadow(5)); the day of the last change is left empty.
SHADOW = "".join(f"{line.split(':')[0]}:*::0:99999:7:::\n" for line in PASSWD.splitlines())

FILES = {
    "etc/passwd": (0o644, PASSWD),
    "etc/group": (0o644, GROUP),
    "etc/shadow": (0o600, SHADOW),
    "etc/nsswitch.conf": (0o644, "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"),
}

FOLDERS = {
    "bin": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "lib": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "sbin": 0o755,
    "sys": 0o555,
    "tmp": 0o1777,
    "usr": 0o755,
    "usr/bin": 0o755,
    "usr/sbin": 0o755,
    "var": 0o755,
    "var/spool": 0o755,
    "var/spool/mail": 0o755,
    "var/www": 0o755,
}

_NOBODY = 65534


def busybox(program: bytes, applets: Sequence[str], mtime: int) -> bytes:
    """The busybox image's only layer: one program under all its names, as hard links in /bin, and a few small files."""
    entries = [_folder(path, mode, mtime) for path, mode in FOLDERS.items()]
    entries.append((_entry("bin/busybox", 0o755, mtime), program))
    for applet in sorted(set(applets) - {"busybox"}):
        link = _entry(f"bin/{applet}", 0o755, mtime)
        link.type, link.linkname = tarfile.LNKTYPE, "bin/busybox"
        entries.append((link, b""))
    # Scripts begin with "#!/usr/bin/env" more often than with anything else.
    env = _entry("usr/bin/env", 0o777, mtime)
    env.type, env.linkname = tarfile.SYMTYPE, "../../bin/env"
    entries.append((env, b""))
    for path, (mode, text) in FILES.items():
        entries.append((_entry(path, mode, mtime), text.encode()))
    return _tar(entries)


def one_program(path: str, program: bytes, mtime: int) -> bytes:
    """A layer that adds one executable file to an image."""
    parent = path.rpartition("/")[0]
    return _tar([_folder(parent, FOLDERS[parent], mtime), (_entry(path, 0o755, mtime), program)])


def _folder(path: str, mode: int, mtime: int) -> tuple[tarfile.TarInfo, bytes]:
    entry = _entry(path, mode, mtime)
    entry.type = tarfile.DIRTYPE
    if path == "home":
        entry.uid = entry.gid = _NOBODY
    return entry, b""


def _entry(path: str, mode: int, mtime: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.mode, entry.mtime = mode, mtime
    return entry


def _tar(entries: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        # A hard link must come after the file it names; nothing else depends on the order.
        for entry, content in sorted(entries, key=lambda e: (e[0].islnk(), e[0].name)):
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()

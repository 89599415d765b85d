"""Local users and groups, by name."""

import grp
import os
import pwd
import stat


def group_name(gid: int) -> str:
    """A group's name; its number where it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def user_name(uid: int) -> str:
    """A user's name; its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def known_user(name: str) -> int | None:
    """A user's number; None where there is no such user."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def known_group(name: str) -> bool:
    """Whether there is such a group."""
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def in_group(gid: int) -> bool:
    """Whether this process acts for a group."""
    return gid in {os.getegid(), *os.getgroups()}


def listed_in_group(uid: int, gid: int) -> bool:
    """Whether a user is in a group by the system's own books, be it only since the last login."""
    try:
        user = pwd.getpwuid(uid)
        return user.pw_gid == gid or user.pw_name in grp.getgrgid(gid).gr_mem
    except KeyError:
        return False


def may_read(name: str, status: os.stat_result) -> bool:
    """Whether a file's mode lets a user of the system's books read it; raises `KeyError` where there is no such user."""
    user = pwd.getpwnam(name)
    if user.pw_uid == status.st_uid:
        return bool(status.st_mode & stat.S_IRUSR)
    if status.st_gid in os.getgrouplist(name, user.pw_gid):
        return bool(status.st_mode & stat.S_IRGRP)
    return bool(status.st_mode & stat.S_IROTH)

"""Files and folders, whole or not at all, on this machine and behind a URL."""

from difficulty.storage.carrying import local_copy, on_urls, read_remote
from difficulty.storage.urls import named, place_of, url_of
from difficulty.storage.whole import (
    DEFAULT_CACHE,
    FULL,
    lock_alone,
    move_into_place,
    read_bounded,
    refuse_existing,
    scratch_beside,
    whole_file,
    whole_folder,
)

__all__ = [
    "DEFAULT_CACHE",
    "FULL",
    "local_copy",
    "lock_alone",
    "move_into_place",
    "named",
    "on_urls",
    "place_of",
    "read_bounded",
    "read_remote",
    "refuse_existing",
    "scratch_beside",
    "url_of",
    "whole_file",
    "whole_folder",
]

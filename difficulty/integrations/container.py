"""A bundle as the folder that an image is built from: recipe, bundle, and a place for the wheel of
this package; needs no package.
"""

from __future__ import annotations

from pathlib import Path

from difficulty.bundle import Bundle
from difficulty.bundle.store import copy_bundle
from difficulty.integrations.layouts import Layout

DOCKERFILE = """\
# The base package, a bundle, and 'difficulty serve'.
# Built from a folder that holds bundle/ and wheels/ (docs/serving.md).
FROM python:3.12-slim
COPY wheels /tmp/wheels
RUN pip install --no-cache-dir /tmp/wheels/*.whl
COPY bundle /srv/bundle
# The build fails where the golden vectors are not reproduced.
RUN difficulty verify /srv/bundle
USER nobody
ENV OMP_NUM_THREADS=1
EXPOSE 8080
# Python as the first process of a container ignores SIGTERM.
STOPSIGNAL SIGINT
HEALTHCHECK CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/health')"]
CMD ["difficulty", "serve", "/srv/bundle", "--host", "0.0.0.0", "--port", "8080"]
"""


def _write(bundle: Bundle, folder: Path) -> None:
    (folder / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    (folder / "wheels").mkdir()
    copy_bundle(bundle, folder / "bundle")


CONTAINER = Layout(
    write=_write,
    next_step=(
        "pip wheel --no-deps -w {folder}/wheels <checkout of difficulty> && docker build -t"
        " difficulty-router {folder}"
    ),
)

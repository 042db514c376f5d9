# syntax=docker/dockerfile:1

# One image for every role: `worker`, `migrate`, `monitor publish`, `dashboards publish`, …
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/seawall
ENV PATH=/opt/seawall/bin:$PATH
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY seawall seawall
COPY streams streams
COPY detectors detectors
COPY dashboards dashboards
COPY schemas schemas
RUN pip install ".[service]"

FROM python:${PYTHON_VERSION}-slim-bookworm
LABEL org.opencontainers.image.title="Seawall" \
      org.opencontainers.image.licenses="Apache-2.0"
# A fixed number, so that an orchestrator can insist on a user that is not root.
RUN groupadd --gid 10001 seawall \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/seawall --shell /usr/sbin/nologin seawall \
    && install --directory --owner seawall --group seawall --mode 0750 /var/lib/seawall
COPY --from=build /opt/seawall /opt/seawall
ENV PATH=/opt/seawall/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TZ=UTC
USER 10001:10001
WORKDIR /var/lib/seawall
# The worker's own page says whether it is well; a worker whose loop hangs answers nobody.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('SEAWALL_WORKER_HEALTH_PORT', '18081') + '/health', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["seawall"]
CMD ["worker"]

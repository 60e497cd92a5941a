# docker build -t gateway .
# docker run -v ./gateway.yaml:/etc/gateway/gateway.yaml:ro -v gateway-state:/var/lib/gateway gateway
# deploy/compose.yaml is a whole example.

ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# The locked packages first: they change less often than the source, and so stay in the layer cache.
COPY requirements/run.txt requirements/build.txt requirements/
RUN python -m venv /opt/gateway \
 && /opt/gateway/bin/python -m pip install --require-hashes --only-binary :all: \
        -r requirements/run.txt \
 && python -m pip install --require-hashes --only-binary :all: -r requirements/build.txt

COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
RUN python -m hatchling build -t wheel -d /tmp/wheel \
 && /opt/gateway/bin/python -m pip install --no-deps /tmp/wheel/*.whl \
 && /opt/gateway/bin/python -m pip uninstall -y pip \
 && python -m compileall -q /opt/gateway/lib

FROM python:${PYTHON_VERSION}-slim-bookworm AS run

LABEL org.opencontainers.image.title="gateway" \
      org.opencontainers.image.description="An OAuth 2.0 guard in front of HTTP services that know nothing of OAuth" \
      org.opencontainers.image.licenses="Apache-2.0"

# The base image's own pip installs nothing here, and what is not there cannot be misused. The user
# is a number, so that an orchestrator can see that it is not root; the state is that user's alone.
RUN python -m pip uninstall -y --root-user-action=ignore pip \
 && install -d -o 10001 -g 10001 -m 0700 /var/lib/gateway \
 && install -d /etc/gateway

COPY --from=build /opt/gateway /opt/gateway
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

USER 10001:10001
WORKDIR /
VOLUME /var/lib/gateway
EXPOSE 8080 8081

# SIGTERM drains: no new connection, and those in flight are answered.
STOPSIGNAL SIGTERM

# Asks the operator's port where the configuration in deploy/ has it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 9090, timeout=2); c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]

ENTRYPOINT ["gateway"]
CMD ["run", "-c", "/etc/gateway/gateway.yaml"]

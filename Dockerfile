# One image for every entrance: `worker`, `gateway`, `sandbox` and the commands. The base images are arguments, so that a build may name
# them by digest or bring its own; releases set the digest.
ARG PYTHON_IMAGE=docker.io/library/python:3.12-slim-bookworm

# ---------------------------------------------------------------------------------------------------------------- build
FROM ${PYTHON_IMAGE} AS build
WORKDIR /src

# Wheels only, each with its hash: nothing is compiled, so neither stage has a compiler.
COPY requirements/worker.txt requirements/build.txt requirements/
RUN python -m venv /opt/tuma \
 && /opt/tuma/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes \
      --requirement requirements/worker.txt \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes \
      --requirement requirements/build.txt

COPY LICENSE ./
COPY producer producer
COPY worker worker
RUN for part in producer worker; do (cd $part && /opt/build/bin/python -m hatchling build --target wheel --directory /wheels) || exit 1; done \
 && /opt/tuma/bin/pip install --no-cache-dir --disable-pip-version-check --no-index --no-deps /wheels/*.whl \
 && /opt/tuma/bin/python -m compileall -q /opt/tuma/lib \
 && /opt/tuma/bin/pip uninstall --yes --quiet pip

# The bill of materials, CycloneDX: what was really installed. The base brings its own.
RUN /opt/build/bin/cyclonedx-py environment --output-reproducible --output-file /opt/tuma/sbom.cdx.json /opt/tuma/bin/python

# ------------------------------------------------------------------------------------------------------------------ run
FROM ${PYTHON_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="tuma" \
      org.opencontainers.image.description="Sends SMS through providers as fast as their limits allow and not one call faster" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"

# Root's, and not to be written by the user who runs it. No compiler came with the base, and pip stays behind.
COPY --from=build /opt/tuma /opt/tuma
ENV PATH=/opt/tuma/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1 \
    TUMA_GATEWAY_HOST=0.0.0.0 \
    TUMA_METRICS_HOST=0.0.0.0 \
    TUMA_OPS_HOST=0.0.0.0 \
    TUMA_LOG_FORMAT=json
USER 10001:10001
WORKDIR /tmp

# No shell and no init in front: `tuma worker` becomes Dramatiq's master, which minds its children, and one SIGTERM must stay one.
ENTRYPOINT ["tuma"]
CMD ["--help"]

# The project's images: docker build --target operator|components|serving|feast. hack/images calls it and provides
#   BASE_IMAGE   a Debian with Python 3.11
#   wheels       a build context: the wheels of requirements/<target>.txt, a requirements.txt with their hashes, and bin/uv
# so that building needs no network.
ARG BASE_IMAGE=docker.io/library/python:3.11-slim

FROM ${BASE_IMAGE} AS environment
# Names the wheels: what a bind mount holds is not part of the build cache's key.
ARG WHEELS
RUN --mount=type=bind,from=wheels,target=/wheels \
    : "${WHEELS}" \
    && /wheels/bin/uv venv --quiet --no-cache --no-config --python "$(command -v python3)" /opt/perennial \
    && /wheels/bin/uv pip install --quiet --no-cache --no-config --python /opt/perennial/bin/python --link-mode copy \
       --no-index --find-links /wheels --require-hashes --no-deps --requirement /wheels/requirements.txt \
    && site=$(echo /opt/perennial/lib/python3*/site-packages) \
    && find "$site" -type d \( -name tests -o -name include \) -prune -exec rm -rf {} + \
    && find "$site" \( -name '*.pyx' -o -name '*.pxd' -o -name '*.a' -o -name '*.lib' \) -delete \
    && echo /opt/app >"$site/perennial.pth" \
    # Compiled once here: the containers' file systems are read-only. By hash, because copying changes times.
    && { /opt/perennial/bin/python -m compileall -q -j 2 --invalidation-mode unchecked-hash "$site" || :; }

FROM environment AS operator-code
COPY operator/perennial /opt/app/perennial
RUN /opt/perennial/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/app

# Runs and predictors know the contracts alone.
FROM environment AS contracts
COPY operator/perennial/__init__.py /opt/app/perennial/
COPY operator/perennial/contracts /opt/app/perennial/contracts

FROM contracts AS components-code
COPY components/perennial_components /opt/app/perennial_components
RUN /opt/perennial/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/app

FROM contracts AS serving-code
COPY serving/perennial_serving /opt/app/perennial_serving
RUN /opt/perennial/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/app

FROM ${BASE_IMAGE} AS runtime
ENV PATH=/opt/perennial/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=environment /opt/perennial /opt/perennial
USER 65532:65532
WORKDIR /

FROM runtime AS operator
COPY --from=operator-code /opt/app /opt/app
ENTRYPOINT ["python", "-m", "perennial"]

FROM runtime AS components
# Where Kubeflow's launcher of 2.0 lays what components hand to each other; its newer ones mount volumes there.
USER 0:0
RUN mkdir --mode 1777 /gcs /minio /s3
USER 65532:65532
COPY --from=components-code /opt/app /opt/app
ENTRYPOINT ["python", "-m", "perennial_components.runner"]

# Looks features up before a run: the same code in the environment of requirements/feast.txt.
FROM runtime AS feast
COPY --from=components-code /opt/app /opt/app
ENTRYPOINT ["python", "-m", "perennial_components.feast"]

FROM runtime AS serving
COPY --from=serving-code /opt/app /opt/app
ENTRYPOINT ["python", "-m", "perennial_serving"]

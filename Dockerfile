# One image for `serve`, `scheduler` and `migrate`; compose.yaml shows them together. bin/prove-image runs these steps
# without a container engine.
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/zaicun
COPY requirements/run.lock requirements/run.lock
RUN /opt/zaicun/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/run.lock
COPY pyproject.toml README.md LICENSE ./
COPY mobile_api_docs/examples/zaicun_phone.py mobile_api_docs/examples/zaicun_time.py mobile_api_docs/examples/
COPY mobile_api_docs/guide.md mobile_api_docs/CHANGES.md mobile_api_docs/
COPY geo geo
COPY server server
# What was needed to build leaves the environment; it is then checked for completeness and only afterwards pip leaves.
RUN /opt/zaicun/bin/python -m pip install --no-deps --no-build-isolation --no-index . \
    && /opt/zaicun/bin/python -m pip uninstall --yes hatchling editables pathspec pluggy tomlkit trove-classifiers \
    && /opt/zaicun/bin/python -m pip check \
    && /opt/zaicun/bin/python -m pip uninstall --yes setuptools pip

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="zaicun" \
      org.opencontainers.image.description="在村: check-ins of cadres posted to villages" \
      org.opencontainers.image.licenses="Apache-2.0"
# Numbers, not names, so that an orchestrator can see that this is not root. The keys' folder is there so that a new
# volume mounted on it belongs to zaicun.
RUN groupadd --system --gid 10001 zaicun \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/zaicun --shell /usr/sbin/nologin zaicun \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/zaicun /var/lib/zaicun/keys
COPY --from=build /opt/zaicun /opt/zaicun
ENV PATH=/opt/zaicun/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ZAICUN_VAR=/var/lib/zaicun
USER 10001:10001
WORKDIR /var/lib/zaicun
EXPOSE 8321
STOPSIGNAL SIGTERM
# Not `zaicun health`, which says more but loads the whole product: seconds of processor time every ten seconds.
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8321/readyz', timeout=5)"]
ENTRYPOINT ["zaicun"]
# Bound to loopback unless told otherwise: that a TLS proxy stands in front is said by whoever put it there.
CMD ["serve"]

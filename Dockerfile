FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/hydra-deploy
COPY requirements.lock ./
RUN /opt/hydra-deploy/bin/pip install --require-hashes -r requirements.lock
COPY LICENSE README.md pyproject.toml ./
COPY gen gen
COPY service service
RUN /opt/hydra-deploy/bin/pip install --no-deps .

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin hydra
COPY --from=build /opt/hydra-deploy /opt/hydra-deploy
ENV PATH="/opt/hydra-deploy/bin:$PATH" PYTHONUNBUFFERED=1
USER 10001:10001
# Restate calls 9080, where health is answered too; gRPC clients call 9090.
EXPOSE 9080 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9080/health/ready', timeout=2)"]
ENTRYPOINT ["hydra-deploy"]
CMD ["serve", "--config", "/etc/hydra-deploy/config.toml", "--role", "all"]

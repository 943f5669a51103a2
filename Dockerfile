# docker build -t tap-litmos .
# docker run --rm --env-file .env tap-litmos | target-jsonl > state.json
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY tap_litmos tap_litmos
RUN python -m venv /opt/tap-litmos && /opt/tap-litmos/bin/pip install --no-cache-dir .

FROM python:3.13-slim
COPY --from=build /opt/tap-litmos /opt/tap-litmos
USER 1000
WORKDIR /data
ENTRYPOINT ["/opt/tap-litmos/bin/tap-litmos"]

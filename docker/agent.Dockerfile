# walhouse-agent with the dashboard's page. Built from the root of the tree:
#
#   docker build -f docker/agent.Dockerfile -t walhouse-agent .
#
# Versions are those of tools/versions.
ARG NODE_VERSION=24.21.0

# ---- librdkafka, as tools/setup builds it where the system's is too old; the same stage as in postgres.Dockerfile ----
FROM docker.io/library/node:${NODE_VERSION}-bookworm-slim AS librdkafka
ENV WALHOUSE_CACHE=/opt/walhouse
RUN apt-get update && \
    apt-get install -y --no-install-recommends gcc g++ make pkg-config libc6-dev libssl-dev zlib1g-dev libzstd-dev libsasl2-dev \
        libcurl4-openssl-dev && \
    rm -rf /var/lib/apt/lists/*
COPY tools/lib.sh tools/versions tools/setup-librdkafka /src/tools/
RUN mkdir -p "$WALHOUSE_CACHE" && /src/tools/setup-librdkafka

# ---- the page: it changes less often than the program ----
FROM librdkafka AS page
COPY Makefile /src/
COPY tools/pack-page /src/tools/
COPY dashboard /src/dashboard/
WORKDIR /src
RUN make build/web/dashboard/.stamp && rm build/web/dashboard/.stamp

# ---- the program ----
FROM librdkafka AS build
RUN apt-get update && \
    apt-get install -y --no-install-recommends libjansson-dev libmicrohttpd-dev libxxhash-dev liblz4-dev && \
    rm -rf /var/lib/apt/lists/*
COPY Makefile /src/
COPY lib /src/lib/
COPY extension/common /src/extension/common/
COPY agent /src/agent/
WORKDIR /src
RUN make -j2 build/bin/walhouse-agent && strip build/bin/walhouse-agent

# ---- what runs ----
FROM docker.io/library/debian:bookworm-slim
LABEL org.opencontainers.image.title="walhouse-agent" \
      org.opencontainers.image.description="Walhouse's agent, from Kafka into ClickHouse, with its dashboard" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.licenses="PostgreSQL"
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates libcurl4 libjansson4 libmicrohttpd12 liblz4-1 libzstd1 libssl3 \
        libsasl2-2 && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin walhouse
COPY --from=build /src/build/bin/walhouse-agent /usr/local/bin/
COPY --from=page /src/build/web/dashboard /usr/local/share/walhouse/dashboard
COPY dashboard/queries /usr/local/share/walhouse/queries
ENV WALHOUSE_AGENT_HTTP_LISTEN=0.0.0.0:8080 \
    WALHOUSE_AGENT_HTTP_DASHBOARD=/usr/local/share/walhouse/dashboard \
    WALHOUSE_AGENT_HTTP_QUERIES=/usr/local/share/walhouse/queries
USER walhouse
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=25s --retries=6 --start-period=60s CMD ["walhouse-agent", "status"]
ENTRYPOINT ["walhouse-agent"]
CMD ["run"]

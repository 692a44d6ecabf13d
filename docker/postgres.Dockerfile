# Postgres with Walhouse's extension and its publisher. Built from the root of the tree:
#
#   docker build -f docker/postgres.Dockerfile --build-arg PG_MAJOR=17 -t walhouse-postgres .
#
# Versions are those of tools/versions.
ARG PG_MAJOR=15
ARG NODE_VERSION=24.21.0

# ---- librdkafka, as tools/setup builds it where the system's is too old; the same stage as in agent.Dockerfile ----
FROM docker.io/library/node:${NODE_VERSION}-bookworm-slim AS librdkafka
ENV WALHOUSE_CACHE=/opt/walhouse
RUN apt-get update && \
    apt-get install -y --no-install-recommends gcc g++ make pkg-config libc6-dev libssl-dev zlib1g-dev libzstd-dev libsasl2-dev \
        libcurl4-openssl-dev && \
    rm -rf /var/lib/apt/lists/*
COPY tools/lib.sh tools/versions tools/setup-librdkafka /src/tools/
RUN mkdir -p "$WALHOUSE_CACHE" && /src/tools/setup-librdkafka

# ---- the extension and its publisher, with this server's own headers ----
FROM docker.io/library/postgres:${PG_MAJOR}-bookworm AS build
ARG PG_MAJOR
ENV WALHOUSE_CACHE=/opt/walhouse
RUN apt-get update && \
    apt-get install -y --no-install-recommends gcc make pkg-config libc6-dev postgresql-server-dev-${PG_MAJOR} libpq-dev \
        libxxhash-dev libssl-dev zlib1g-dev libzstd-dev libsasl2-dev libcurl4-openssl-dev && \
    rm -rf /var/lib/apt/lists/*
COPY --from=librdkafka /opt/walhouse /opt/walhouse
COPY Makefile /src/
COPY tools/versions /src/tools/
COPY lib /src/lib/
COPY extension /src/extension/
WORKDIR /src
RUN mkdir -p "/out$(pg_config --bindir)" && make -j2 PG_MAJOR=${PG_MAJOR} DESTDIR=/out install-extension && \
    strip /out/usr/lib/postgresql/${PG_MAJOR}/bin/walhouse-publisher

# ---- what runs ----
FROM docker.io/library/postgres:${PG_MAJOR}-bookworm
ARG PG_MAJOR
LABEL org.opencontainers.image.title="walhouse-postgres" \
      org.opencontainers.image.description="PostgreSQL ${PG_MAJOR} with Walhouse's extension and its publisher to Kafka" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.licenses="PostgreSQL"
# The publisher's libraries that the server does not bring.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libcurl4 && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/ /
COPY docker/postgresql.conf /etc/postgresql/walhouse.conf
COPY docker/postgres-healthy docker/pipeline /usr/local/bin/
# Only newer minor releases have this setting, and they must list the plugin; older ones refuse a setting that they do not know.
# The data of each major version has a folder of its own in the volume, so that pg_upgrade finds both.
RUN if postgres --describe-config | grep -q '^output_plugin_libraries'; then \
        echo "output_plugin_libraries = 'pgoutput, test_decoding, walhouse'" >>/etc/postgresql/walhouse.conf; \
    fi && \
    chmod 755 /usr/local/bin/postgres-healthy /usr/local/bin/pipeline && \
    install -d -o postgres -g postgres -m 700 /var/lib/postgresql/${PG_MAJOR} /var/lib/postgresql/${PG_MAJOR}/data
ENV PGDATA=/var/lib/postgresql/${PG_MAJOR}/data
USER postgres
HEALTHCHECK --interval=10s --timeout=10s --retries=6 --start-period=60s CMD ["postgres-healthy"]
CMD ["postgres", "-c", "config_file=/etc/postgresql/walhouse.conf"]

# walhouse-storefront, the shop of the demo, with its page. Built from the root of the tree:
#
#   docker build -f docker/storefront.Dockerfile -t walhouse-storefront .
#
# Versions are those of tools/versions.
ARG NODE_VERSION=24.21.0

# ---- the page ----
FROM docker.io/library/node:${NODE_VERSION}-bookworm-slim AS page
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
COPY Makefile /src/
COPY tools/versions tools/pack-page /src/tools/
COPY storefront/web.mk /src/storefront/
COPY storefront/web /src/storefront/web/
WORKDIR /src
RUN make build/web/storefront/.stamp && rm build/web/storefront/.stamp

# ---- the program ----
FROM docker.io/library/debian:bookworm-slim AS build
RUN apt-get update && \
    apt-get install -y --no-install-recommends gcc make pkg-config libc6-dev libpq-dev libjansson-dev libmicrohttpd-dev libcurl4-openssl-dev && \
    rm -rf /var/lib/apt/lists/*
COPY Makefile /src/
COPY tools/versions /src/tools/
COPY lib /src/lib/
COPY storefront /src/storefront/
WORKDIR /src
RUN make -j2 build/bin/walhouse-storefront && strip build/bin/walhouse-storefront

# ---- what runs ----
FROM docker.io/library/debian:bookworm-slim
LABEL org.opencontainers.image.title="walhouse-storefront" \
      org.opencontainers.image.description="The shop of Walhouse's demo" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.licenses="PostgreSQL"
RUN apt-get update && \
    apt-get install -y --no-install-recommends libpq5 libjansson4 libmicrohttpd12 libcurl4 && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin walhouse
COPY --from=build /src/build/bin/walhouse-storefront /usr/local/bin/
COPY docker/storefront-healthy /usr/local/bin/
COPY --from=page /src/build/web/storefront /usr/local/share/walhouse/storefront
USER walhouse
EXPOSE 8081
HEALTHCHECK --interval=10s --timeout=10s --retries=6 --start-period=30s CMD ["storefront-healthy"]
ENTRYPOINT ["walhouse-storefront", "--web", "/usr/local/share/walhouse/storefront"]
CMD ["--listen", "0.0.0.0:8081"]

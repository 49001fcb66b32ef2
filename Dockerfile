# syntax=docker/dockerfile:1
# Tidegate in a container:
#
#   docker build --tag tidegate .
#   docker run --publish 8080:8080 --volume tidegate:/var/lib/tidegate tidegate

FROM rust:1.95-slim-bookworm AS sources
RUN rustup target add wasm32-unknown-unknown \
    && apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY wit wit
COPY migrations migrations
COPY xtask xtask
COPY tests tests
COPY plugins plugins
COPY policies policies
COPY host host

# Plugins. Cached directories are not part of a layer, so the results are copied out of them.
FROM sources AS components
RUN --mount=type=cache,id=tidegate-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=tidegate-components,target=/src/target,sharing=locked \
    cargo --locked xtask components --shipped && cp -r target/components /components

# The server, which knows the plugins by their digests.
FROM sources AS host
COPY --from=components /components /components
RUN --mount=type=cache,id=tidegate-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=tidegate-host,target=/src/target,sharing=locked \
    TIDEGATE_BUILT_INS=/components/SHA256SUMS cargo build --locked --profile dist --package tidegate --bin tidegate \
    && cp target/dist/tidegate /tidegate \
    && mkdir /data

# The base image has no shell and no package manager, only the C library and CA certificates.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/tidegate/
COPY --from=components /components /usr/share/tidegate/components
COPY --from=host /tidegate /usr/bin/tidegate
COPY --from=host --chown=nonroot:nonroot /data /var/lib/tidegate
VOLUME /var/lib/tidegate
EXPOSE 8080
USER nonroot:nonroot
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["tidegate", "health", "--url", "http://127.0.0.1:8080"]
ENTRYPOINT ["tidegate"]
CMD ["serve", "--listen", "0.0.0.0:8080", "--data-dir", "/var/lib/tidegate"]

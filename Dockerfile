# docker build -t dunlin . && docker run --rm -p 1883:1883 dunlin
# With mosquitto_pub, mosquitto_sub and mosquitto_rr: docker build --target clients -t dunlin:clients .
# docs/container.md says how to give it a login, a configuration, TLS and a volume, and how it stands in for mosquitto's.

FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY . .
# The caches keep the dependencies, so that a change of dunlin's own source does not build them again.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin dunlin && strip -o /dunlin target/release/dunlin && mkdir /data

FROM debian:bookworm-slim AS runtime
LABEL org.opencontainers.image.title="dunlin" \
      org.opencontainers.image.description="An MQTT broker in one binary" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"
COPY --from=build /dunlin /usr/local/bin/dunlin
# A file that is mounted there takes its place.
COPY --chmod=644 config/container/dunlin.toml /etc/dunlin/dunlin.toml
# The numbers of mosquitto's image: its volumes can be used as they are. No name in /etc/passwd is needed for a user
# that owns nothing else.
COPY --from=build --chown=1883:1883 --chmod=700 /data /data
# What mosquitto's image has: a mosquitto.conf that is mounted is read in place of dunlin's own file.
COPY --chmod=644 config/container/mosquitto-no-auth.conf /mosquitto-no-auth.conf
COPY --from=build --chown=1883:1883 --chmod=755 /data /mosquitto/config
COPY --from=build --chown=1883:1883 --chmod=700 /data /mosquitto/data
COPY --from=build --chown=1883:1883 --chmod=700 /data /mosquitto/log
ENV DUNLIN_CONFIG=/mosquitto/config/mosquitto.conf:/etc/dunlin/dunlin.toml
VOLUME /data /mosquitto/data /mosquitto/log
USER 1883:1883
# MQTT; over TLS, over WebSocket, and over both, where the configuration has such listeners.
EXPOSE 1883 8883 8083 8084
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s \
    CMD ["dunlin", "health"]
# What follows the image's name is flags, another command of dunlin's, or mosquitto's own command line:
#   docker run dunlin passwd --batch /data/users alice
#   docker run dunlin mosquitto -c /mosquitto-no-auth.conf
ENTRYPOINT ["dunlin"]
CMD []

# For health checks that call mosquitto_sub.
FROM runtime AS clients
USER 0:0
RUN apt-get update && apt-get install -y --no-install-recommends mosquitto-clients && rm -rf /var/lib/apt/lists/*
USER 1883:1883

# The image that is built unless another one is named.
FROM runtime

# docker build -t dunlin . && docker run --rm -p 1883:1883 dunlin
# docs/container.md says how to give it a login, a configuration, TLS and a volume.

FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY . .
# The caches keep the dependencies, so that a change of dunlin's own source does not build them again.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin dunlin && strip -o /dunlin target/release/dunlin && mkdir /data

FROM debian:bookworm-slim
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
VOLUME /data
USER 1883:1883
# MQTT; over TLS, over WebSocket, and over both, where the configuration has such listeners.
EXPOSE 1883 8883 8083 8084
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s \
    CMD ["dunlin", "--config", "/etc/dunlin/dunlin.toml", "health"]
# What follows the image's name is flags, or another command of dunlin's:
#   docker run dunlin passwd --batch /data/users alice
ENTRYPOINT ["dunlin", "--config", "/etc/dunlin/dunlin.toml"]
CMD []

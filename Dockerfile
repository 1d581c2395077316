# docker build -t dunlin . && docker run --rm -p 1883:1883 dunlin

FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY . .
# The caches keep the dependencies, so that a change of dunlin's own source does not build them again.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin dunlin && strip -o /dunlin target/release/dunlin && mkdir /data

FROM debian:bookworm-slim
COPY --from=build /dunlin /usr/local/bin/dunlin
# For --data-dir: a volume that is mounted here belongs to the user below.
COPY --from=build --chown=65532:65532 --chmod=700 /data /data
# No name in /etc/passwd is needed for a user that owns nothing else.
USER 65532:65532
# MQTT; over TLS, over WebSocket, and over both, where the configuration has such listeners.
EXPOSE 1883 8883 8083 8084
STOPSIGNAL SIGTERM
# No HEALTHCHECK: nothing answers one yet.
ENTRYPOINT ["dunlin"]
# Inside a container, loopback is the container alone: nobody outside could connect to the default listeners, and on any
# other, anonymous clients are refused unless somebody says so. This says so, for the container that somebody tries out.
# What is given to "docker run dunlin …" takes the place of both flags:
#   docker run -v dunlin:/data dunlin --listen 0.0.0.0:1883 --allow-anonymous --data-dir /data   (kept beyond the container)
#   docker run -v ./dunlin.toml:/etc/dunlin/dunlin.toml:ro dunlin --config /etc/dunlin/dunlin.toml
CMD ["--listen", "0.0.0.0:1883", "--allow-anonymous"]

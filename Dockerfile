# docker build -t daybreak .
# docker run --read-only --tmpfs /tmp -p 8080:8080 -v "$PWD:/workspace" daybreak

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=0.1.0
# DuckDB is linked in, so cgo is needed, and the C++ library below.
RUN CGO_ENABLED=1 go build -trimpath -o /daybreak \
    -ldflags "-s -w -X github.com/daybreak-data/daybreak/internal/app.version=$VERSION" .

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libstdc++6 tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 65532 -g 65532 /workspace
COPY --from=build /daybreak /usr/local/bin/daybreak

# Nothing outside of the workspace and /tmp is written. Its state/, lake/ and read/ must belong to this user.
USER 65532:65532
WORKDIR /workspace
ENV HOME=/tmp
EXPOSE 8080

# Alive, asked of the service itself: this image has no HTTP client but bash.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]

ENTRYPOINT ["daybreak"]
CMD ["serve"]

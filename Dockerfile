# One image with both programs: static, without a shell, run by a user without rights. Needs BuildKit, for its caches.
FROM golang:1.26.8-bookworm AS build
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off GOCACHE=/cache
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/cache \
    go build -trimpath -ldflags='-s -w' -o /out/bin/lockstep ./starter && \
    go build -trimpath -ldflags='-s -w' -o /out/bin/worker ./worker && \
    mkdir -m 1777 /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /usr/local/go/lib/time/zoneinfo.zip /
COPY --from=build /out/tmp /tmp
COPY --from=build /out/bin/ /usr/local/bin/
COPY integration-map.yaml /etc/lockstep/
ENV ZONEINFO=/zoneinfo.zip PATH=/usr/local/bin LOCKSTEP_MAP=/etc/lockstep/integration-map.yaml
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/lockstep"]

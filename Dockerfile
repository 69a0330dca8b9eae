# One static binary in an empty image.
#
#   docker build -t ottla .                              compiles it in an image of Go
#   make image                                           uses bin/ottla of this machine (docker build --target prebuilt)

# What both have in common.
FROM scratch AS base
# Any user id can write to the data directory as long as its group is 0.
USER 1000:0
ENV KAFKA_LOG_DIRS=/var/lib/kafka/data
EXPOSE 9092
STOPSIGNAL SIGTERM
# There is no shell: the exec form.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["/usr/local/bin/ottla", "health"]
ENTRYPOINT ["/usr/local/bin/ottla"]
CMD ["broker"]

FROM base AS prebuilt
COPY --chown=1000:0 bin/rootfs/ /
VOLUME /var/lib/kafka/data

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN make rootfs

FROM base
COPY --from=build --chown=1000:0 /src/bin/rootfs/ /
VOLUME /var/lib/kafka/data

# The watch of compose.yaml: Debian's Prometheus with prometheus.yaml and alerts.yaml.
ARG BASE_IMAGE=debian:12-slim
FROM ${BASE_IMAGE}
RUN apt-get -qq update && export DEBIAN_FRONTEND=noninteractive && \
    apt-get -qq upgrade --yes >/dev/null && \
    apt-get -qq install --yes --no-install-recommends prometheus >/dev/null && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* && \
    install -d -o 65534 -g 65534 /prometheus
COPY docker/prometheus.yaml docker/alerts.yaml docker/alerts_test.yaml /etc/halfstep/
USER 65534:65534
EXPOSE 9090
ENTRYPOINT ["prometheus", "--config.file=/etc/halfstep/prometheus.yaml", \
  "--storage.tsdb.path=/prometheus", "--storage.tsdb.retention.time=7d", \
  "--web.listen-address=0.0.0.0:9090"]

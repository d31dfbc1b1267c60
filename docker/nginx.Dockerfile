# The balancer of compose.yaml: Debian's nginx with compose-nginx.conf.
ARG BASE_IMAGE=debian:12-slim
FROM ${BASE_IMAGE}
RUN apt-get -qq update && export DEBIAN_FRONTEND=noninteractive && \
    apt-get -qq upgrade --yes >/dev/null && \
    apt-get -qq install --yes --no-install-recommends nginx-light >/dev/null && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
COPY docker/compose-nginx.conf /etc/nginx/nginx.conf
USER 33:33
EXPOSE 50050
STOPSIGNAL SIGQUIT
ENTRYPOINT ["nginx", "-g", "daemon off;", "-e", "/dev/stderr"]

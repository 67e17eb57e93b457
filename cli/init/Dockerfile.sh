# docker build -t @TAG@ .
FROM debian:12-slim
COPY target.sh /target.sh
ENTRYPOINT ["/target.sh"]

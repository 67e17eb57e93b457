# cc -O2 -static -o target target.c -lm && docker build -t @TAG@ .
FROM scratch
COPY target /target
ENTRYPOINT ["/target"]

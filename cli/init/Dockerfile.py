# docker build -t @TAG@ .
FROM python:3.12-slim
COPY target.py /target.py
ENTRYPOINT ["/target.py"]

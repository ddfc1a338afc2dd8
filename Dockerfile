# One image for every role; compose.yaml says which one a container plays.

FROM python:3.11-slim-bookworm AS build
RUN pip install --no-cache-dir 'uv>=0.9,<1' && python -m venv /opt/tillroll
WORKDIR /src
COPY . .
# The lock constrains instead of listing, so tools that only develop Tillroll stay out. Its hashes are checked.
RUN uv pip install --no-cache --compile-bytecode --python /opt/tillroll/bin/python --constraint requirements.lock .

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin tillroll && \
    install -d -o 10001 -g 10001 /witness
COPY --from=build /opt/tillroll /opt/tillroll
ENV PATH=/opt/tillroll/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["tillroll"]

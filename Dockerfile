# syntax=docker/dockerfile:1
# One image for web, worker and reaper (target `app`), one for the proxy with the static files in it (target `proxy`).
FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:$PATH
WORKDIR /app

FROM base AS build
ENV PIP_CACHE_DIR=/var/cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
COPY constraints.txt pyproject.toml ./
COPY scripts/install-torch.sh scripts/check-torch.py scripts/
RUN --mount=type=cache,target=/var/cache/pip scripts/install-torch.sh /opt/venv
# The dependencies make a layer of their own, which a change of our code leaves alone.
RUN --mount=type=cache,target=/var/cache/pip <<'INSTALL'
set -eu
python - > /tmp/requirements.txt <<'LIST'
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
print("\n".join(project["dependencies"] + project["optional-dependencies"]["site"]))
LIST
pip install -q -c constraints.txt -r /tmp/requirements.txt "setuptools>=77"
python scripts/check-torch.py
INSTALL
COPY README.md LICENSE manage.py ./
COPY arena arena
COPY submissions submissions
COPY platform platform
COPY deploy/healthcheck.py deploy/
RUN pip install -q --no-deps --no-build-isolation -e . && python -m compileall -q arena submissions platform
# The values open nothing: collectstatic only has to import the settings.
RUN ADVERSARIUM_ENV=production ADVERSARIUM_SECRET_KEY=collectstatic-needs-none-0123456789-abcdefghijklmnop \
    ADVERSARIUM_DATABASE_URL=postgres://localhost/arena ADVERSARIUM_REDIS_URL=redis://localhost/0 \
    ADVERSARIUM_ALLOWED_HOSTS=localhost ADVERSARIUM_STATIC_ROOT=/app/staticfiles \
    python manage.py collectstatic --noinput

FROM base AS app
# libcap and libseccomp come along with it.
RUN apt-get update && apt-get install -y --no-install-recommends bubblewrap libseccomp2 && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 arena && useradd --uid 10001 --gid arena --no-create-home --home-dir /tmp arena \
    && install -d -o arena -g arena -m 0750 /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV ADVERSARIUM_ENV=production ADVERSARIUM_DATA=/data ADVERSARIUM_STATIC_ROOT=/app/staticfiles \
    HOME=/tmp XDG_CACHE_HOME=/tmp/cache OMP_NUM_THREADS=1
USER arena
EXPOSE 8000
CMD ["uvicorn", "config.asgi:application", "--host", "0.0.0.0", "--port", "8000", \
     "--proxy-headers", "--forwarded-allow-ips", "*", "--timeout-graceful-shutdown", "3"]

FROM nginxinc/nginx-unprivileged:1.27-alpine AS proxy
COPY deploy/nginx.conf /etc/nginx/nginx.conf
COPY --from=build /app/staticfiles /srv/static
EXPOSE 8080

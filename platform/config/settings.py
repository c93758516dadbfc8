"""Everything that can be set, read once from ``ADVERSARIUM_*`` (docs/operating.md has the table).

Development needs nothing. Production refuses to start while anything is missing.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from config import environment

BASE_DIR = Path(__file__).resolve().parents[2]
if not (BASE_DIR / "manage.py").exists():  # installed as a wheel
    BASE_DIR = Path.cwd()

# --- what kind of installation this is --------------------------------------------------------

ENV = environment.choice("ENV", ("development", "production"), "development")
PRODUCTION = ENV == "production"
DEBUG = environment.flag("DEBUG")
if PRODUCTION and DEBUG:
    raise ImproperlyConfigured("ADVERSARIUM_DEBUG shows secrets to visitors: unset it.")


def required(name: str) -> str:
    """A setting without which production does not start."""
    value = environment.text(name)
    if PRODUCTION and not value:
        raise ImproperlyConfigured(
            f"ADVERSARIUM_{name} (or ADVERSARIUM_{name}_FILE) must be set in production."
        )
    return value


DATA = Path(environment.text("DATA") or BASE_DIR / "var").absolute()
"""Database, artifacts, match files and the embedded broker's files of this installation."""

INSTALLATION = (
    environment.text("INSTALLATION") or hashlib.sha256(str(DATA).encode()).hexdigest()[:8]
)
"""Prefix of every key in Redis, so that installations may share one server."""


def development_secret() -> str:
    """Made once and kept, so that sessions survive a restart."""
    DATA.mkdir(parents=True, exist_ok=True)
    path = DATA / "secret-key"
    if not path.exists():
        handle, temporary = tempfile.mkstemp(dir=DATA)  # mode 0600
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(64))
        try:
            os.link(temporary, path)  # the first of several processes wins
        except FileExistsError:
            pass
        finally:
            Path(temporary).unlink()
    return path.read_text()


SECRET_KEY = required("SECRET_KEY") or development_secret()
if PRODUCTION and (len(SECRET_KEY) < 50 or len(set(SECRET_KEY)) < 5):
    raise ImproperlyConfigured("ADVERSARIUM_SECRET_KEY must be 50 random characters or more.")

ALLOWED_HOSTS = environment.words(
    "ALLOWED_HOSTS", "" if PRODUCTION else "localhost,127.0.0.1,[::1]"
)
if PRODUCTION and (not ALLOWED_HOSTS or "*" in ALLOWED_HOSTS):
    raise ImproperlyConfigured("ADVERSARIUM_ALLOWED_HOSTS must name the site's hosts, not '*'.")
CSRF_TRUSTED_ORIGINS = environment.words("CSRF_TRUSTED_ORIGINS")

# --- applications -----------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "django_htmx",
    "events",
    "accounts",
    "submissions",
    "tournaments",
    *(name for name in ("leaderboard", "web", "api") if environment.installed(f"{name}.apps")),
    "config",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "config.middleware.ContentSecurityPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                *(["web.context.site"] if environment.installed("web.context") else []),
            ]
        },
    }
]

# --- database ---------------------------------------------------------------------------------

_DATABASE_URL = required("DATABASE_URL") or f"sqlite:///{DATA / 'adversarium.sqlite3'}"
_database: dict[str, Any] = environ.Env.db_url_config(_DATABASE_URL)
if _database["ENGINE"].endswith("sqlite3"):
    Path(_database["NAME"]).parent.mkdir(parents=True, exist_ok=True)
    _database["OPTIONS"] = {
        # A transaction that will write takes the lock at its start: no upgrade can then fail.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
    }
    # A file, not memory: worker processes that a test starts must see the same rows.
    _database["TEST"] = {
        "NAME": str(Path(tempfile.gettempdir()) / f"adversarium-test-{os.getpid()}.sqlite3")
    }
else:
    _database["CONN_MAX_AGE"] = 60
    _database["CONN_HEALTH_CHECKS"] = True
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis: hints and progress, never the truth --------------------------------------------------


def running_broker() -> str:
    """The embedded broker that `manage.py serve` of this installation has started, if any."""
    try:
        return (DATA / "broker" / "url").read_text().strip()
    except OSError:
        return ""


_GIVEN_REDIS_URL = required("REDIS_URL")
REDIS_URL = _GIVEN_REDIS_URL or running_broker()
"""As redis-py reads it: redis://, rediss:// or unix://PATH?db=0; empty where there is none."""

CELERY_BROKER_URL = environment.celery_url(REDIS_URL)
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "global_keyprefix": f"{INSTALLATION}:celery:",
    "socket_timeout": 10,
    "socket_connect_timeout": 2,
    "max_retries": 1,
    # A message is a hint, taken early: nothing is ever redelivered while a match plays.
    "visibility_timeout": 24 * 3600,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_TASK_DEFAULT_QUEUE = "matches"
CELERY_TASK_ROUTES = {
    "submissions.tasks.qualify": {"queue": "qualifications"},
    "tournaments.tasks.play": {"queue": "matches"},
}
CELERY_TIMEZONE = "UTC"

if _GIVEN_REDIS_URL:
    CACHES: dict[str, Any] = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": _GIVEN_REDIS_URL,
            "KEY_PREFIX": f"{INSTALLATION}:cache",
            "OPTIONS": {"socket_timeout": 1.0, "socket_connect_timeout": 1.0},
        }
    }
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# --- workers ----------------------------------------------------------------------------------

WORKERS = environment.number("WORKERS", 0)
"""Matches played side by side on this machine; 0 is one a core."""
MATCH_SECONDS = environment.number("MATCH_SECONDS", 3600)
"""A match that runs longer is ended from outside: its own limits failed, so the fault is ours."""
QUALIFICATION_SECONDS = environment.number("QUALIFICATION_SECONDS", 900)
LEASE_SECONDS = environment.number("LEASE_SECONDS", 45)
HEARTBEAT_SECONDS = environment.number("HEARTBEAT_SECONDS", 10)
REAPER_SECONDS = environment.number("REAPER_SECONDS", 5)
HINT_SECONDS = environment.number("HINT_SECONDS", 20)
"""A pending match that nobody claimed for so long is announced again."""
RUNNER = environment.words("RUNNER") or []
QUALIFIER = environment.words("QUALIFIER") or []
"""Commands that play a match and check a submission in the place of the worker's keeper
(``python -m arena.keeper``), in words separated by commas."""
TRUSTED_ONLY = environment.flag("TRUSTED_ONLY")
"""Plays the house alone, in the strongest wall there is; guests are refused."""

CALIBRATION = environment.text("CALIBRATION")
"""A file that ``python -m arena.calibrate --json`` wrote here; empty: the one that is shipped."""

# --- submissions ------------------------------------------------------------------------------

UPLOAD_BYTES = environment.number("UPLOAD_BYTES", 64 * 1024 * 1024)
QUOTA_VALID = environment.number("QUOTA_VALID", 20)
QUOTA_TOTAL = environment.number("QUOTA_TOTAL", 60)
"""Submissions a team and day: accepted ones, and all. Our faults are refunded, and cancellations
before a worker has begun."""
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]

_BUCKET = environment.text("S3_BUCKET")
STORAGES: dict[str, Any] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
if _BUCKET:
    STORAGES["artifacts"] = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": _BUCKET,
            "endpoint_url": environment.text("S3_ENDPOINT") or None,
            "access_key": environment.text("S3_ACCESS_KEY") or None,
            "secret_key": environment.text("S3_SECRET_KEY") or None,
            "file_overwrite": True,
        },
    }

# --- accounts and security ----------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "accounts.backends.UsernameOrEmail",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"

AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
AXES_LOCKOUT_TEMPLATE = "web/locked_out.html"

INVITATION_DAYS = 14
TOKEN_DAYS = 180

X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
if PRODUCTION:
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    # TLS ends at a proxy, which replaces this header whatever the client sent.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = environment.flag("SSL_REDIRECT", default=True)
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
    SECURE_HSTS_SECONDS = environment.number("HSTS_SECONDS", 31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True

# --- REST framework -----------------------------------------------------------------------------

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "api.description.Description",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    # An address is the connection's; what a proxy says of it is for uvicorn to believe. Throttles
    # would take whatever X-Forwarded-For says for a new visitor.
    "NUM_PROXIES": 0,
    # The format is what Accept says; ?format= would be a parameter that no operation describes.
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Adversarium",
    "DESCRIPTION": (
        "The arena's REST API; docs/bots.md shows how to use it. Throttles: 1,200 requests a "
        "minute for each user and 60 of them writing, 300 for each address without a token; "
        "beyond that 429 with Retry-After in seconds."
    ),
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "SideEnum": "tournaments.models.SIDES",
        "RoleEnum": "submissions.models.ROLES",
        "FaultCodeEnum": "arena.errors.FaultCode",
        "PhaseEnum": "tournaments.states.Phase",
        "EntryStateEnum": "tournaments.states.EntryState",
        "MatchStateEnum": "tournaments.states.MatchState",
        "SubmissionStateEnum": "submissions.states.SubmissionState",
        "VerdictStatusEnum": "arena.verdict.Status",
    },
}

# --- language, time, static files, logs -----------------------------------------------------------

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATIC_ROOT = Path(environment.text("STATIC_ROOT") or DATA / "staticfiles")
if not PRODUCTION:
    STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # whitenoise warns of a missing one
WHITENOISE_USE_FINDERS = not PRODUCTION
WHITENOISE_AUTOREFRESH = DEBUG

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
        "json": {"()": "config.logs.JsonFormatter"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "json" if environment.flag("LOG_JSON", default=PRODUCTION) else "plain",
        }
    },
    "root": {"handlers": ["stderr"], "level": environment.text("LOG_LEVEL", "INFO").upper()},
    "loggers": {"axes": {"level": "WARNING"}},
}

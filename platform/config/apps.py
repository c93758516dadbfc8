from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """In INSTALLED_APPS for its commands: `serve`, `demo` and `worker`."""

    name = "config"
    label = "adversarium_config"

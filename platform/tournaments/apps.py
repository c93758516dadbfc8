from django.apps import AppConfig


class TournamentsConfig(AppConfig):
    name = "tournaments"

    def ready(self) -> None:
        from submissions import services as submissions
        from tournaments import services

        submissions.on_outcome(services.submission_was_judged)

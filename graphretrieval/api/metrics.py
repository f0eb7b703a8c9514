"""What Prometheus scrapes: requests, seconds, queue, cache and jobs; never ids, words or keys."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from graphretrieval.api.documents import Documents
from graphretrieval.api.service import Service

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """One application's own registry, so that two in a process do not mix."""

    def __init__(self, service: Service, documents: Documents) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "graphretrieval_requests",
            "Requests answered, by route and status.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "graphretrieval_request_seconds",
            "Seconds until a request was answered.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.refused = Counter(
            "graphretrieval_refused",
            "Requests refused, by code.",
            ("code",),
            registry=self.registry,
        )
        gauges = (
            ("queue", "Queries running or waiting.", lambda: service.queue.inside),
            ("streams", "Open subscriptions.", lambda: len(service.streams)),
            ("shed", "Queries told to come back later.", lambda: service.queue.shed),
            ("document_hits", "GraphQL documents found planned.", lambda: documents.hits),
            ("document_misses", "GraphQL documents planned.", lambda: documents.misses),
            ("ready", "1 when a model is loaded.", lambda: int(service.ready)),
            (
                "job_running",
                "1 while a model is being learned.",
                lambda: service.jobs.running() is not None,
            ),
        )
        for name, about, value in gauges:
            gauge = Gauge(f"graphretrieval_{name}", about, registry=self.registry)
            gauge.set_function(value)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)

"""A page of metrics, read as Prometheus does."""

from collections.abc import Mapping

from attrs import frozen
from prometheus_client.parser import text_string_to_metric_families


@frozen
class Page:
    """Every sample of a page, by its name and its labels."""

    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    def value(self, name: str, **labels: str) -> float:
        """One sample; its labels are these and no others."""
        return self.samples[f"ordernpay_{name}", frozenset(labels.items())]

    def all(self, name: str, label: str) -> dict[str, float]:
        """The samples of a name by one label."""
        found = [(dict(labels), value) for (of, labels), value in self.samples.items() if of == f"ordernpay_{name}"]
        return {labels[label]: value for labels, value in found}

    def labels(self) -> dict[str, frozenset[str]]:
        """Each name with its labels."""
        return {name: frozenset(label for label, _ in labels) for name, labels in self.samples}


def read(text: str | bytes) -> Page:
    """A page from its text."""
    told = text.decode() if isinstance(text, bytes) else text
    families = text_string_to_metric_families(told)
    samples = [sample for family in families for sample in family.samples]
    page = Page({(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples})
    assert len(page.samples) == len(samples), "a sample stands there twice"
    return page

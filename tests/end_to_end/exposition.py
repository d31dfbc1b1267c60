"""Prometheus' text format, read back."""

import re

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Exposition:
    """What one scrape says.

    `types`    metric -> "counter", "gauge" or "histogram".
    `samples`  (name, ((label, value), ...) in order of label) -> number.
    """

    def __init__(self, text):
        self.types = {}
        self.samples = {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                name, kind = line[len("# TYPE "):].split(" ")
                assert name not in self.types, line
                self.types[name] = kind
            elif line and not line.startswith("#"):
                name, labels, value = SAMPLE.match(line).groups()
                series = (name, tuple(sorted(LABEL.findall(labels or ""))))
                assert series not in self.samples, line
                self.samples[series] = float(value)

    def sum(self, name, **labels):
        """The sum of the samples that have `labels`, of which there is at least one."""
        found = [
            value
            for (its_name, its_labels), value in self.samples.items()
            if its_name == name and labels.items() <= dict(its_labels).items()
        ]
        assert found, (name, labels)
        return sum(found)

    def values(self, name, label):
        """Which values `label` has in `name`."""
        return {dict(labels)[label] for its_name, labels in self.samples if its_name == name}


def scrape(server):
    status, text = server.page("/metrics")
    assert status == 200
    return Exposition(text)

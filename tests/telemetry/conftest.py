"""Prometheus' own reader."""

from prometheus_client.parser import text_string_to_metric_families

from difficulty.telemetry.meter import Family


def read_text(text):
    """Return samples by name and labels, as Prometheus' reader has them."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def names_of(families: tuple[Family, ...]):
    """Return the names under which some families are asked for."""
    ends = {"histogram": ("_bucket", "_sum", "_count")}
    return {f"{each.name}{end}" for each in families for end in ends.get(each.kind, ("",))}

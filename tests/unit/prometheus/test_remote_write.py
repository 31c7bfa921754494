"""Samples as Prometheus reads them from a remote write."""

import snappy

from orchestrator.prometheus import remote_write as remotewrite
from orchestrator.prometheus.remote_write import STALE, encoded, labels_of


def test_what_is_sent_can_be_read_back() -> None:
    labels = labels_of("up", {"job": "x", "empty": ""})
    (body,) = map(snappy.decompress, encoded({labels: [(1.5, 2.0), (2.5, STALE)]}))
    (series,) = remotewrite._write_request().FromString(body).timeseries

    assert [(label.name, label.value) for label in series.labels] == [("__name__", "up"), ("job", "x")]
    assert [sample.timestamp for sample in series.samples] == [1500, 2500]
    assert b"\x02\x00\x00\x00\x00\x00\xf0\x7f" in body  # the very NaN that means stale


def test_many_samples_are_sent_in_several_requests() -> None:
    series = {labels_of("x", {"n": str(n)}): [(float(t), 1.0) for t in range(15_000)] for n in range(3)}

    assert len(list(encoded(series))) == 3

"""Samples in the format of remote write 1.0: protobuf, compressed with snappy.

Source: https://prometheus.io/docs/specs/prw/remote_write_spec/. The messages are described here instead of generated.
"""

import struct
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from orchestrator.prometheus.client import Prometheus

Labels = tuple[tuple[str, str], ...]
Series = Mapping[Labels, list[tuple[float, float]]]

# The NaN that tells Prometheus that a series has ended.
STALE = struct.unpack(">d", bytes.fromhex("7ff0000000000002"))[0]
_SAMPLES_OF_A_REQUEST = 20_000


def labels_of(name: str, labels: Mapping[str, str]) -> Labels:
    """Return the identity of a series: its sorted labels and its name. Empty labels count as absent."""
    return tuple(sorted((key, value) for key, value in {**labels, "__name__": name}.items() if value))


def send(prometheus: Prometheus, series: Series) -> int:
    """Write series of (UNIX seconds, value), and return the number of samples. Raises the errors of `Prometheus`."""
    for body in encoded(series):
        prometheus.write(body)
    return sum(map(len, series.values()))


def encoded(series: Series) -> Iterator[bytes]:
    """Yield the request bodies that write the series, each small enough for any server."""
    import snappy

    for batch in _batches(series):
        request = _write_request()()
        for labels, samples in batch:
            one = request.timeseries.add()
            for key, value in labels:
                one.labels.add(name=key, value=value)
            for t, sample in samples:
                one.samples.add(timestamp=round(t * 1000), value=sample)
        yield snappy.compress(request.SerializeToString())


def _batches(series: Series) -> Iterator[list[tuple[Labels, list[tuple[float, float]]]]]:
    batch: list[tuple[Labels, list[tuple[float, float]]]] = []
    size = 0
    for labels, samples in series.items():
        for start in range(0, len(samples), _SAMPLES_OF_A_REQUEST):
            part = samples[start : start + _SAMPLES_OF_A_REQUEST]
            if size + len(part) > _SAMPLES_OF_A_REQUEST and batch:
                yield batch
                batch, size = [], 0
            batch.append((labels, part))
            size += len(part)
    if batch:
        yield batch


@cache
def _write_request() -> Any:
    """Return the message class `prometheus.WriteRequest`."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="orchestrate/remote.proto", package="prometheus", syntax="proto3")
    fields = {
        "Label": (("name", 1, field.TYPE_STRING, ""), ("value", 2, field.TYPE_STRING, "")),
        "Sample": (("value", 1, field.TYPE_DOUBLE, ""), ("timestamp", 2, field.TYPE_INT64, "")),
        "TimeSeries": (("labels", 1, field.TYPE_MESSAGE, "Label"), ("samples", 2, field.TYPE_MESSAGE, "Sample")),
        "WriteRequest": (("timeseries", 1, field.TYPE_MESSAGE, "TimeSeries"),),
    }
    for name, parts in fields.items():
        message = file.message_type.add(name=name)
        for part, number, kind, of in parts:
            label = field.LABEL_REPEATED if of else field.LABEL_OPTIONAL
            message.field.add(
                name=part, number=number, type=kind, label=label, type_name=f".prometheus.{of}" if of else None
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("prometheus.WriteRequest"))

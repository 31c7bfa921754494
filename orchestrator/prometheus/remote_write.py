"""Samples as remote write 1.0 sends them to Prometheus: protobuf, compressed with snappy.

Source: https://prometheus.io/docs/specs/prw/remote_write_spec/, whose messages are described here instead of generated.
"""

import struct
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from orchestrator.prometheus.client import Prometheus

Labels = tuple[tuple[str, str], ...]
Series = Mapping[Labels, list[tuple[float, float]]]

# The NaN by which Prometheus knows that a series has ended.
STALE = struct.unpack(">d", bytes.fromhex("7ff0000000000002"))[0]
_SAMPLES_OF_A_REQUEST = 20_000


def labels_of(name: str, labels: Mapping[str, str]) -> Labels:
    """Return a series' identity: its labels and its name, in order; empty labels count as absent."""
    return tuple(sorted((key, value) for key, value in {**labels, "__name__": name}.items() if value))


def send(prometheus: Prometheus, series: Series) -> int:
    """Write series of (UNIX seconds, value); returns how many samples. Raises as `Prometheus` says."""
    for body in encoded(series):
        prometheus.write(body)
    return sum(map(len, series.values()))


def encoded(series: Series) -> Iterator[bytes]:
    """Yield the bodies of the requests that write them, each of so many samples that any server takes it."""
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

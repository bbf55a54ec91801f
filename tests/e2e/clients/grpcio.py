"""Python's gRPC against a PairDB server, without any proto file: the messages come by reflection.

    python3 grpcio.py HOST:PORT        prints JSON of what it saw
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

LIMIT_S = 20


def reflection_messages():
    """The two messages of grpc.reflection.v1 that are needed, made by hand."""
    file = descriptor_pb2.FileDescriptorProto(name="r.proto", package="r", syntax="proto3")
    string, bytes_, message = 9, 12, 11
    ask = file.message_type.add(name="Ask")
    ask.field.add(name="symbol", number=4, type=string, label=1)
    files = file.message_type.add(name="Files")
    files.field.add(name="file", number=1, type=bytes_, label=3)
    answer = file.message_type.add(name="Answer")
    answer.field.add(name="files", number=4, type=message, label=1, type_name=".r.Files")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return class_of(pool, "r.Ask"), class_of(pool, "r.Answer")


def class_of(pool, name):
    descriptor = pool.FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


def reflect(channel, symbol):
    """A pool that holds the file of a symbol and all that it imports."""
    ask, answer = reflection_messages()
    call = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=answer.FromString,
    )
    (reply,) = call(iter([ask(symbol=symbol)]), timeout=LIMIT_S)
    files = [descriptor_pb2.FileDescriptorProto.FromString(each) for each in reply.files.file]
    pool = descriptor_pool.DescriptorPool()
    # A file comes after those that it imports.
    while files:
        names = {file.name for file in files}
        for file in [file for file in files if not names.intersection(file.dependency)]:
            pool.Add(file)
            files.remove(file)
    return pool


class Service:
    """Calls methods of a service by name, with keyword arguments as fields."""

    def __init__(self, channel, pool, name):
        self.channel = channel
        self.pool = pool
        self.service = pool.FindServiceByName(name)

    def _prepare(self, name, fields):
        method = self.service.FindMethodByName(name)
        request = class_of(self.pool, method.input_type.full_name)(**fields)
        path = f"/{self.service.full_name}/{name}"
        coders = {
            "request_serializer": lambda message: message.SerializeToString(),
            "response_deserializer": class_of(self.pool, method.output_type.full_name).FromString,
        }
        return path, coders, request

    def unary(self, name, **fields):
        path, coders, request = self._prepare(name, fields)
        return self.channel.unary_unary(path, **coders)(request, timeout=LIMIT_S)

    def stream(self, name, **fields):
        path, coders, request = self._prepare(name, fields)
        return self.channel.unary_stream(path, **coders)(request, timeout=LIMIT_S)


def error_of(pool, call):
    """Status, message and number of a call that must fail."""
    try:
        call()
    except grpc.RpcError as error:
        trailers = dict(error.trailing_metadata())
        # google.rpc.Status in as many words: its third field holds an Any, whose second is the detail.
        file = descriptor_pb2.FileDescriptorProto(name="s.proto", package="s", syntax="proto3")
        any_ = file.message_type.add(name="Any")
        any_.field.add(name="type_url", number=1, type=9, label=1)
        any_.field.add(name="value", number=2, type=12, label=1)
        status = file.message_type.add(name="Status")
        status.field.add(name="code", number=1, type=5, label=1)
        status.field.add(name="details", number=3, type=11, label=3, type_name=".s.Any")
        statuses = descriptor_pool.DescriptorPool()
        statuses.Add(file)
        rich = class_of(statuses, "s.Status").FromString(trailers["grpc-status-details-bin"])
        (detail,) = rich.details
        facts = class_of(pool, "pairdb.v1.ErrorDetail").FromString(detail.value)
        return {
            "status": error.code().name,
            "same_status": rich.code == error.code().value[0],
            "message": error.details(),
            "type": detail.type_url.split("/")[-1],
            "code": facts.code,
            "name": facts.name,
        }
    raise AssertionError("the call went well")


def main(target):
    with grpc.insecure_channel(target) as channel:
        pool = reflect(channel, "pairdb.v1.KeyValueService")
        kv = Service(channel, pool, "pairdb.v1.KeyValueService")
        tenant = "grpcio"
        put = kv.unary("Put", tenant_id=tenant, key="schlüssel", value=bytes(range(256)))
        got = kv.unary("Get", tenant_id=tenant, key="schlüssel")
        items = [{"key": f"k{i:03}", "value": b"v" * i} for i in range(1000)]
        stored = kv.unary("BatchPut", tenant_id=tenant, items=items)
        batch = kv.unary("BatchGet", tenant_id=tenant, keys=["k005", "none", "k000"])
        deleted = kv.unary("Delete", tenant_id=tenant, key="k001")
        scanned = [
            entry
            for message in kv.stream("Scan", tenant_id=tenant, prefix="k")
            for entry in message.entries
        ]
        largest = bytes(10 * 1024 * 1024)
        kv.unary("Put", tenant_id=tenant, key="large", value=largest)
        # Python's default limit of a message is 4 MiB; the server's has to hold.
        roomy = [("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(target, options=roomy) as other:
            large = Service(other, pool, "pairdb.v1.KeyValueService")
            large_back = large.unary("Get", tenant_id=tenant, key="large").value == largest
        bad_key = lambda: kv.unary("Put", tenant_id=tenant, key="a\nb", value=b"")
        no_key = lambda: kv.unary("Get", tenant_id=tenant, key="none")
        too_large = lambda: kv.unary("Put", tenant_id=tenant, key="k", value=largest + b"x")
        print(json.dumps({
            "counter": put.vector_clock.entries[0].logical_timestamp,
            "value_back": got.value == bytes(range(256)),
            "same_clock": got.vector_clock == put.vector_clock,
            "stored": len(stored.results),
            "batch": [[item.key, item.found, len(item.value)] for item in batch.items],
            "existed": deleted.existed,
            "scanned": len(scanned),
            "scanned_in_order": [entry.key for entry in scanned] == sorted(entry.key for entry in scanned),
            "empty_value": scanned[0].HasField("value") and scanned[0].value == b"",
            "large_back": large_back,
            "bad_key": error_of(pool, bad_key),
            "no_key": error_of(pool, no_key),
            "too_large": error_of(pool, too_large),
        }))


main(sys.argv[1])

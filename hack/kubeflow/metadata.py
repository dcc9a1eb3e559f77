"""ML Metadata over gRPC, on SQLite: metadata.py FILE ADDRESS. Each call goes to the ml-metadata library."""

import sys
import threading
from concurrent import futures
from typing import Any

import grpc
from ml_metadata.metadata_store import metadata_store
from ml_metadata.metadata_store.pywrap.metadata_store_extension import metadata_store as library
from ml_metadata.proto import metadata_store_pb2, metadata_store_service_pb2

LARGEST_MESSAGE = 1 << 28
CREATE_OR_OPEN = 3


def main(file: str, address: str) -> None:
    """Serves for ever."""
    configuration = metadata_store_pb2.ConnectionConfig()
    configuration.sqlite.filename_uri = file
    configuration.sqlite.connection_mode = CREATE_OR_OPEN
    store = metadata_store.MetadataStore(configuration)._metadata_store  # noqa: SLF001 - the library's own calls take it
    lock = threading.Lock()

    def handler(name: str) -> Any:
        function = getattr(library, name)

        def call(request: bytes, context: Any) -> Any:
            with lock:
                answer, message, code = function(store, request)
            if code:
                text = message.decode() if isinstance(message, bytes) else str(message)
                context.abort(next(each for each in grpc.StatusCode if each.value[0] == code), text)
            return answer

        return grpc.unary_unary_rpc_method_handler(call)

    service = metadata_store_service_pb2.DESCRIPTOR.services_by_name["MetadataStoreService"]
    handlers = {each.name: handler(each.name) for each in service.methods if hasattr(library, each.name)}
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", LARGEST_MESSAGE)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
    server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Filter variables of what PySniff does not read yet: filters that name them compile, and get the type's default.

What lands brings its own rows and takes them out of here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pysniff.kfl.entry_variables import CAPTURE, FLAGS, IDENTITY, NAMES
from pysniff.kfl.schema import Variable
from pysniff.kfl.types import BOOL, BYTES, INT, STRING, ListType, MapType, Type

if TYPE_CHECKING:
    from pysniff.entry import Entry

# By the mark behind a name.
_TYPES: dict[str, tuple[Type, object]] = {
    "": (INT, 0),
    "s": (STRING, ""),
    "b": (BOOL, False),
    "y": (BYTES, b""),
    "[]": (ListType(STRING), ()),
    "m": (MapType(STRING, STRING), {}),
}

# Name and mark, then the meaning.
_ROWS: dict[str, tuple[str, ...]] = {
    IDENTITY: (
        "worker:s the worker that captured it",
        "conn_id number of the connection",
        "flow_id number of the flow",
        "has_pcap:b its packets are kept",
    ),
    CAPTURE: (
        "capture_backend:s what captured it",
        "capture:m more about the capture",
    ),
    FLAGS: (
        "gql:b GraphQL",
        "gqlv1:b GraphQL over HTTP/1",
        "gqlv2:b GraphQL over HTTP/2",
        "sctp:b SCTP",
        "icmp:b ICMP",
        "kafka:b Kafka",
        "amqp:b AMQP",
        "ldap:b LDAP",
        "mongodb:b MongoDB",
        "mysql:b MySQL",
        "postgresql:b PostgreSQL",
        "radius:b RADIUS",
        "diameter:b Diameter",
        "conn:b a connection",
        "flow:b a flow",
        "tcp_conn:b a connection of TCP",
        "udp_conn:b a connection of UDP",
        "tcp_flow:b a flow of TCP",
        "udp_flow:b a flow of UDP",
    ),
    "TCP, UDP, SCTP, ICMP": (
        "tcp_method:s what the conversation is",
        "tcp_payload:y its first bytes",
        "tcp_error_type:s how it failed",
        "tcp_error_message:s the same in words",
        "udp_length bytes of the datagram",
        "udp_checksum checksum of the datagram",
        "udp_payload:y its content",
        "sctp_checksum checksum of the packet",
        "sctp_chunk_type:s DATA, INIT ...",
        "sctp_length bytes of the chunk",
        "icmp_type:s echo request, destination unreachable ...",
        "icmp_version 4 or 6",
        "icmp_length bytes of the message",
    ),
    "Kafka": (
        "kafka_api_key number of the call: 0 Produce, 1 Fetch",
        "kafka_api_key_name:s its name",
        "kafka_client_id:s how the client calls itself",
        "kafka_size bytes of the request",
        "kafka_request:b the request was seen",
        "kafka_response:b the response was seen",
        "kafka_request_summary:s topics and partitions in a line",
        "kafka_request_size bytes of the request",
        "kafka_response_size bytes of the response",
    ),
    "AMQP": (
        "amqp_method:s the method",
        "amqp_summary:s the method with exchange, queue and key",
        "amqp_request:b the request was seen",
        "amqp_response:b the response was seen",
        "amqp_request_length bytes of the request",
        "amqp_response_length bytes of the response",
        "amqp_total_size bytes of both",
    ),
    "LDAP": (
        "ldap_type:s bind, search, modify ...",
        "ldap_summary:s the operation in a line",
        "ldap_request:b the request was seen",
        "ldap_response:b the response was seen",
        "ldap_request_length bytes of the request",
        "ldap_response_length bytes of the response",
        "ldap_total_size bytes of both",
    ),
    "Diameter": (
        "diameter_method:s the command",
        "diameter_summary:s the command in a line",
        "diameter_request:b the request was seen",
        "diameter_response:b the answer was seen",
        "diameter_request_length bytes of the request",
        "diameter_response_length bytes of the answer",
        "diameter_total_size bytes of both",
    ),
    "RADIUS": (
        "radius_code code of the request",
        "radius_code_name:s its name",
        "radius_request:b the request was seen",
        "radius_response:b the response was seen",
        "radius_request_authenticator:s its 16 bytes in hexadecimal",
        "radius_request_length bytes of the request",
        "radius_response_length bytes of the response",
        "radius_total_size bytes of both",
    ),
    "MongoDB": (
        "mongodb_command:s find, insert ...",
        "mongodb_database:s the database",
        "mongodb_collection:s the collection",
        "mongodb_opcode:s OP_MSG ...",
        "mongodb_request_size bytes of the request",
        "mongodb_response_size bytes of the response",
        "mongodb_total_size bytes of both",
        "mongodb_success:b the server did it",
        "mongodb_error_code number of the error",
        "mongodb_error_message:s the same in words",
        "mongodb_error_code_name:s its name",
    ),
    "MySQL": (
        "mysql_command:s COM_QUERY ...",
        "mysql_query:s the SQL",
        "mysql_database:s the database",
        "mysql_statement_id number of the prepared statement",
        "mysql_request_size bytes of the command",
        "mysql_response_size bytes of the response",
        "mysql_total_size bytes of both",
        "mysql_success:b the server did it",
        "mysql_error_code number of the error",
        "mysql_error_message:s the same in words",
    ),
    "PostgreSQL": (
        "postgresql_command:s Query, Parse, Execute ...",
        "postgresql_query:s the SQL",
        "postgresql_database:s the database",
        "postgresql_user:s the user",
        "postgresql_request_size bytes of the request",
        "postgresql_response_size bytes of the response",
        "postgresql_total_size bytes of both",
        "postgresql_success:b the server did it",
        "postgresql_error_code:s SQLSTATE",
        "postgresql_error_message:s the same in words",
    ),
    "Connections and flows": (
        "conn_state:s open, in_progress or closed",
        "conn_local_pkts packets that the client sent",
        "conn_local_bytes bytes that the client sent",
        "conn_remote_pkts packets that the server sent",
        "conn_remote_bytes bytes that the server sent",
        "conn_l7_detected:[] protocols found in it",
        "conn_group_id number of its group",
        "flow_state:s open, in_progress or closed",
        "flow_local_pkts packets that the client sent",
        "flow_local_bytes bytes that the client sent",
        "flow_remote_pkts packets that the server sent",
        "flow_remote_bytes bytes that the server sent",
        "flow_l7_detected:[] protocols found in it",
        "flow_group_id number of its group",
        "flow_local_pps packets a second that the client sent",
        "flow_local_bps bytes a second that the client sent",
        "flow_remote_pps packets a second that the server sent",
        "flow_remote_bps bytes a second that the server sent",
    ),
    NAMES: (
        "src.namespace:s namespace of the client",
        "src.pod.name:s pod of the client, else its service",
        "src.pod.namespace:s namespace of that",
        "src.service.name:s service of the client",
        "src.service.namespace:s namespace of that",
        "dst.namespace:s namespace of the server",
        "dst.pod.name:s pod of the server, else its service",
        "dst.pod.namespace:s namespace of that",
        "dst.service.name:s service of the server",
        "dst.service.namespace:s namespace of that",
        "namespaces:[] of both ends",
        "pods:[] of both ends",
        "services:[] of both ends",
        "local_labels:m labels of the pod on this node",
        "remote_labels:m labels of the other pod",
        "local_annotations:m annotations of the pod on this node",
        "remote_annotations:m annotations of the other pod",
        "node:m the node",
        "node_name:s its name",
        "node_ip:s its address",
        "local_node_name:s the node of the pod on this node",
        "remote_node_name:s the node of the other pod",
        "local_process_name:s the process on this node",
        "remote_process_name:s the other process",
        "local_resolution_status:s whether the address on this node has a name",
        "remote_resolution_status:s whether the other address has one",
    ),
}


def variables() -> Iterator[Variable]:
    """Each with its type's default for every entry."""
    for section, rows in _ROWS.items():
        for row in rows:
            marked, _, meaning = row.partition(" ")
            name, _, mark = marked.partition(":")
            kind, default = _TYPES[mark]
            yield Variable(name, kind, meaning, section, _always(default))


def _always(value: object) -> Callable[[Entry], object]:
    def read(entry: Entry) -> object:
        return value

    return read
